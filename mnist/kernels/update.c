/* An optimizer's step for all parameters in one call. What takes the time of Paddle's is not the
 * arithmetic but its three or four operators a parameter.
 *
 * Compiled for any x86-64, which has no fused multiply-add: the same bits as Paddle's own. */
#include <math.h>

/* A parameter with its gradient and what the optimizer keeps of it; see engine.py. */
typedef struct {
    long count;
    float *parameter;
    const float *gradient;
    float *first, *second; /* Adam's moments; momentum's velocity is the first */
    float *first_power, *second_power;
} Update;

#define PUBLIC __attribute__((visibility("default")))

/* w -= rate * v with v = momentum * v + g, or Nesterov's (g + momentum * v); g has the L2 decay. */
PUBLIC void mnist_kernels_momentum(const Update *updates, int count, float rate, float decay,
                                   float momentum, int nesterov) {
    for (int k = 0; k < count; k++) {
        float *restrict w = updates[k].parameter, *restrict v = updates[k].first;
        const float *restrict gradient = updates[k].gradient;
        for (long i = 0; i < updates[k].count; i++) {
            float g = gradient[i] + decay * w[i];
            v[i] = v[i] * momentum + g;
            w[i] -= nesterov ? (g + v[i] * momentum) * rate : rate * v[i];
        }
    }
}

/* Kingma and Ba 2015, with the powers of both betas kept a parameter, as Paddle does. */
PUBLIC void mnist_kernels_adam(const Update *updates, int count, float rate, float decay,
                               float beta1, float beta2, float epsilon) {
    for (int k = 0; k < count; k++) {
        const Update *u = &updates[k];
        float *restrict w = u->parameter, *restrict first = u->first;
        float *restrict second = u->second;
        const float *restrict gradient = u->gradient;
        float correction = sqrtf(1 - *u->second_power);
        float step = rate * correction / (1 - *u->first_power);
        for (long i = 0; i < u->count; i++) {
            float g = gradient[i] + decay * w[i];
            first[i] = beta1 * first[i] + (1 - beta1) * g;
            second[i] = beta2 * second[i] + (1 - beta2) * (g * g);
            w[i] -= step * (first[i] / (sqrtf(second[i]) + epsilon * correction));
        }
        *u->first_power *= beta1;
        *u->second_power *= beta2;
    }
}
