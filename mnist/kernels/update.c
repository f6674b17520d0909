/* Momentum's step for all parameters in one call. What takes the time of Paddle's is not the
 * arithmetic but its three operators a parameter.
 *
 * Compiled for any x86-64, which has no fused multiply-add: the same bits as Paddle's own. */
/* A parameter with its gradient and its velocity; engine.py has the same structure. */
typedef struct {
    long count;
    float *parameter;
    const float *gradient;
    float *velocity;
} Update;

#define PUBLIC __attribute__((visibility("default")))

/* w -= rate * v with v = momentum * v + g, or Nesterov's (g + momentum * v); g has the L2 decay. */
PUBLIC void mnist_kernels_momentum(const Update *updates, int count, float rate, float decay,
                                   float momentum, int nesterov) {
    for (int k = 0; k < count; k++) {
        float *restrict w = updates[k].parameter, *restrict v = updates[k].velocity;
        const float *restrict gradient = updates[k].gradient;
        for (long i = 0; i < updates[k].count; i++) {
            float g = gradient[i] + decay * w[i];
            v[i] = v[i] * momentum + g;
            w[i] -= nesterov ? (g + v[i] * momentum) * rate : rate * v[i];
        }
    }
}
