/* What Python calls: which level this processor has, and every function at the level asked for.
 * Compiled for any x86-64. */
#include "kernels.h"

#ifndef SOURCE
#define SOURCE "unknown"
#endif
#define PUBLIC __attribute__((visibility("default")))

/* The hash of the sources that this library was made from. */
PUBLIC const char *mnist_kernels_source(void) { return SOURCE; }

/* The highest level that processor and operating system can run: 3, 4, or 0 for none. */
PUBLIC int mnist_kernels_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        return 4;
    return 3;
}

PUBLIC long mnist_kernels_workspace(int level, const Layer *layers, int count, int batch,
                                    int training) {
    return (level == 4 ? workspace_floats_4 : workspace_floats_3)(layers, count, batch, training);
}

PUBLIC void mnist_kernels_forward(int level, const Layer *layers, int count, const float *images,
                                  int batch, int training, float *output, float *workspace) {
    (level == 4 ? forward_4 : forward_3)(layers, count, images, batch, training, output,
                                         workspace);
}

PUBLIC void mnist_kernels_backward(int level, const Layer *layers, int count,
                                   const float *images, int batch, const float *output_gradient,
                                   float *workspace) {
    (level == 4 ? backward_4 : backward_3)(layers, count, images, batch, output_gradient,
                                           workspace);
}
