/* The two loops in which nearly all of a training step's time goes.
 *
 * A vector holds the same pixel of eight images (at level 4: two neighbouring pixels of eight
 * images). So all its lanes are multiplied by the same weight, pixels need not be moved into
 * the columns of a matrix first, and an image's border is nothing special.
 *
 * A processor begins two fused multiply-adds a cycle, each of which takes four cycles: at least
 * eight sums must be under way at any time. And it loads two vectors a cycle: a vector that was
 * loaded must be used more than once. Hence the tiles: up to 4 filters times up to TILE_VECTORS
 * vectors of sums, all in registers, in which 4 + TILE_VECTORS loads feed 4 * TILE_VECTORS
 * multiply-adds. Their number is a constant for the compiler, which unrolls the small loops.
 *
 * This file alone is compiled with -ffp-contract=fast: `sum += a * b` is one rounding.
 */
#include "kernels.h"

#if LEVEL == 4
#include <immintrin.h>
#define VECTOR_LANES 16
#define TILE_VECTORS 6
#else
#define VECTOR_LANES 8
#define TILE_VECTORS 3
#endif

/* Loads and stores need no alignment beyond a float's. */
typedef float Vector __attribute__((vector_size(VECTOR_LANES * 4), aligned(4), may_alias));

#define PIXELS_IN_VECTOR (VECTOR_LANES / LANES)
#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* --- a row of outputs --------------------------------------------------------------------- */

/* sums[filter][vector] = weights[tap][filter] * input[offset of tap][vector], over all taps. */
INLINE void convolve_tile(int filters, int vectors, const float *input, const long *offsets,
                          int taps, const float *weights, float *rows, long row_stride) {
    Vector sums[TILE_FILTERS][TILE_VECTORS];
    UNROLL for (int f = 0; f < filters; f++)
        UNROLL for (int v = 0; v < vectors; v++)
            sums[f][v] = (Vector){0};
    for (int tap = 0; tap < taps; tap++, weights += filters) {
        const float *from = input + offsets[tap];
        Vector values[TILE_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++)
            values[v] = *(const Vector *)(from + v * VECTOR_LANES);
        UNROLL for (int f = 0; f < filters; f++)
            UNROLL for (int v = 0; v < vectors; v++)
                sums[f][v] += weights[f] * values[v];
    }
    UNROLL for (int f = 0; f < filters; f++)
        UNROLL for (int v = 0; v < vectors; v++)
            *(Vector *)(rows + f * row_stride + v * VECTOR_LANES) = sums[f][v];
}

/* --- the weights' gradient ---------------------------------------------------------------- */

/* At level 4, a row of odd width ends in half a vector, whose other half counts as zero. */
INLINE Vector load(const float *from, int half) {
#if LEVEL == 4
    return half ? (Vector)_mm512_maskz_loadu_ps(0xff, from) : *(const Vector *)from;
#else
    (void)half;
    return *(const Vector *)from;
#endif
}

INLINE void multiply_add(int filters, int taps, const float *gradients, long gradient_stride,
                         const float *const inputs[], long x, int half,
                         Vector sums[TILE_FILTERS][TILE_VECTORS]) {
    Vector factors[TILE_FILTERS];
    UNROLL for (int f = 0; f < filters; f++)
        factors[f] = load(gradients + f * gradient_stride + x, half);
    UNROLL for (int tap = 0; tap < taps; tap++) {
        Vector values = load(inputs[tap] + x, half);
        UNROLL for (int f = 0; f < filters; f++)
            sums[f][tap] += factors[f] * values;
    }
}

/* sums[filter][tap] += gradients[filter][pixel] * input[pixel + offset of tap], over the pixels
 * of all rows; `rows` holds each row's offset in the gradients and in the input. Even and odd
 * pixels are added up apart: at level 4 they lie in one vector, at level 3 they come in turn. */
INLINE void products_tile(int filters, int taps, const float *gradients, long gradient_stride,
                          const float *input, const long *offsets, const long *rows,
                          int row_count, int width, float *out, long out_stride) {
    Lanes both[TILE_FILTERS][TILE_VECTORS][2];
    for (int first = 0; first < 2; first += PIXELS_IN_VECTOR) {
        Vector sums[TILE_FILTERS][TILE_VECTORS];
        UNROLL for (int f = 0; f < filters; f++)
            UNROLL for (int tap = 0; tap < taps; tap++)
                sums[f][tap] = (Vector){0};
        for (int row = 0; row < row_count; row++) {
            const float *gradient = gradients + rows[2 * row], *inputs[TILE_VECTORS];
            UNROLL for (int tap = 0; tap < taps; tap++)
                inputs[tap] = input + rows[2 * row + 1] + offsets[tap];
            int x = first;
            for (; x + PIXELS_IN_VECTOR <= width; x += 2)
                multiply_add(filters, taps, gradient, gradient_stride, inputs, (long)x * LANES,
                             0, sums);
            if (x < width)
                multiply_add(filters, taps, gradient, gradient_stride, inputs, (long)x * LANES,
                             1, sums);
        }
        UNROLL for (int f = 0; f < filters; f++)
            UNROLL for (int tap = 0; tap < taps; tap++)
                *(Vector *)&both[f][tap][first] = sums[f][tap];
    }
    for (int f = 0; f < filters; f++)
        for (int tap = 0; tap < taps; tap++)
            *(Lanes *)(out + f * out_stride + tap * LANES) += both[f][tap][0] + both[f][tap][1];
}

/* --- every size of tile ------------------------------------------------------------------- */

typedef void Convolve(const float *, const long *, int, const float *, float *, long);
typedef void AddProducts(const float *, long, const float *, const long *, const long *, int, int,
                         float *, long);

#define TILE(f, v)                                                                              \
    static void convolve_##f##_##v(const float *a, const long *b, int c, const float *d,        \
                                   float *e, long g) {                                          \
        convolve_tile(f, v, a, b, c, d, e, g);                                                  \
    }                                                                                           \
    static void products_##f##_##v(const float *a, long b, const float *c, const long *d,       \
                                   const long *e, int g, int h, float *i, long j) {             \
        products_tile(f, v, a, b, c, d, e, g, h, i, j);                                         \
    }
#define TILES(v) TILE(1, v) TILE(2, v) TILE(3, v) TILE(4, v)
#define NAMES(kind, f, rest) {kind##_##f##_1, kind##_##f##_2, kind##_##f##_3 rest(kind, f)}
#define TABLE(kind, rest) \
    {NAMES(kind, 1, rest), NAMES(kind, 2, rest), NAMES(kind, 3, rest), NAMES(kind, 4, rest)}

TILES(1) TILES(2) TILES(3)
#if LEVEL == 4
TILES(4) TILES(5) TILES(6)
#define REST(kind, f) , kind##_##f##_4, kind##_##f##_5, kind##_##f##_6
#else
#define REST(kind, f)
#endif

static Convolve *const convolve_tiles[TILE_FILTERS][TILE_VECTORS] = TABLE(convolve, REST);
static AddProducts *const products_tiles[TILE_FILTERS][TILE_VECTORS] = TABLE(products, REST);

/* Cuts `whole` into as few pieces of at most `most` as there can be, as equal as can be: the
 * size of the one that begins at `start`, where those before it were cut in the same way. */
static int piece(int whole, int start, int most) {
    int rest = whole - start;
    int pieces = (rest + most - 1) / most;
    return (rest + pieces - 1) / pieces;
}

/* One row of a convolution's output for up to TILE_FILTERS filters: rows[filter][column][8].
 * At level 4 and odd width, one column more is written, of no meaning. `input` is the row's
 * first pixel in padded maps, `offsets` are each tap's from there. */
void AT_LEVEL(convolve_row)(const float *input, const long *offsets, int taps,
                            const float *weights, int filters, int width, float *rows,
                            long row_stride) {
    int all = (width + PIXELS_IN_VECTOR - 1) / PIXELS_IN_VECTOR;
    for (int start = 0, vectors; start < all; start += vectors) {
        vectors = piece(all, start, TILE_VECTORS);
        convolve_tiles[filters - 1][vectors - 1](input + start * VECTOR_LANES, offsets, taps,
                                                 weights, rows + start * VECTOR_LANES,
                                                 row_stride);
    }
}

/* Adds the products that make the weights' gradient of a few filters: sums[filter][tap][8]. */
void AT_LEVEL(add_products)(const float *gradients, long gradient_stride, int filters,
                            const float *input, const long *offsets, int taps, const long *rows,
                            int row_count, int width, float *sums) {
    for (int start = 0, count; start < taps; start += count) {
        count = piece(taps, start, TILE_VECTORS);
        products_tiles[filters - 1][count - 1](gradients, gradient_stride, input,
                                               offsets + start, rows, row_count, width,
                                               sums + start * LANES, (long)taps * LANES);
    }
}
