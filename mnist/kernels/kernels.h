/* What the files of this room share. docs/speed.md explains the whole in two pages.
 *
 * Every function but the few of dispatch.c is compiled twice, once for each level of processor:
 *
 *   3  x86-64-v3: AVX2 and FMA, 16 registers of 8 floats (Intel since 2013, AMD since 2015)
 *   4  x86-64-v4: AVX-512, 32 registers of 16 floats (Intel servers since 2017, AMD since 2022)
 *
 * Both compute every sum in the same order, so both give the same bits.
 */
#ifndef MNIST_KERNELS_H
#define MNIST_KERNELS_H

/* A convolution and what follows it, in this order: 2x2 max-pooling, bias, batch norm, ReLU; all
 * but the convolution optional. mnist/kernels/engine.py has the same structure. */
typedef struct {
    int channels, height, width; /* of the input */
    int filters, size, padding;  /* `size` x `size` weights; `padding` pixels on every side */
    int pool, norm, relu;        /* whether there is one */
    float momentum, epsilon;     /* the batch norm's */
    const float *weight;         /* [filters][channels][size][size] */
    const float *bias;           /* [filters], or NULL */
    const float *scale, *shift;  /* the batch norm's [filters], or NULL */
    float *mean, *variance;      /* its running statistics, which a training step updates */
    /* Where gradients are added to what is there; NULL where the values above are. */
    float *weight_gradient, *bias_gradient, *scale_gradient, *shift_gradient;
} Layer;

/* The images in a vector. Maps lie as [group of 8 images][channel][row][column][8 images]. */
#define LANES 8
/* The filters that one tile computes at once. */
#define TILE_FILTERS 4

typedef float Lanes __attribute__((vector_size(32), aligned(32), may_alias));
typedef int LaneMask __attribute__((vector_size(32), aligned(32), may_alias));

/* name_3 or name_4, as LEVEL says. */
#define JOIN(name, level) name##_##level
#define EXPAND(name, level) JOIN(name, level)
#define AT_LEVEL(name) EXPAND(name, LEVEL)

#define DECLARE(level)                                                                        \
    long JOIN(workspace_floats, level)(const Layer *, int count, int batch, int training);    \
    void JOIN(forward, level)(const Layer *, int count, const float *images, int batch,       \
                              int training, float *output, float *workspace);                 \
    void JOIN(backward, level)(const Layer *, int count, const float *images, int batch,      \
                               const float *output_gradient, float *workspace);               \
    void JOIN(convolve_row, level)(const float *input, const long *offsets, int taps,         \
                                   const float *weights, int filters, int width, float *rows, \
                                   long row_stride);                                          \
    void JOIN(add_products, level)(const float *gradients, long gradient_stride, int filters, \
                                   const float *input, const long *offsets, int taps,         \
                                   const long *rows, int row_count, int width, float *sums);

DECLARE(3)
DECLARE(4)

#endif
