/* A stack of layers forward and backward: everything around the two loops of convolution.c.
 *
 * Maps lie as [group][channel][row][column][8 images]. The last group of a batch may have
 * fewer images; its other lanes begin as zeros, have no gradient and are in no sum.
 *
 * Compiled with -ffp-contract=off: a multiplication and an addition are two roundings, whatever
 * the compiler and the level.
 */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef uint8_t Bytes __attribute__((vector_size(LANES), aligned(1), may_alias));

/* What stays in a core's second cache, and in its first, in bytes. */
#define CACHE_BYTES 400000
#define FIRST_CACHE_BYTES 20000

static int smaller(int a, int b) { return a < b ? a : b; }
static int larger(int a, int b) { return a > b ? a : b; }
static int groups_of(int batch) { return (batch + LANES - 1) / LANES; }

/* --- shapes ------------------------------------------------------------------------------- */

/* A map with zeros around it. `pitch` is a row's length: even, so that rows begin aligned, and
 * with one zero or more behind the last column, where vectors of two pixels may end. */
typedef struct {
    int margin, height, pitch;
} Padded;

static Padded padded(int height, int width, int margin) {
    return (Padded){margin, height + 2 * margin, (width + 2 * margin + 2) / 2 * 2};
}

static long area(Padded map) { return (long)map.height * map.pitch * LANES; }

static int taps(const Layer *layer) { return layer->channels * layer->size * layer->size; }
static int maps_height(const Layer *l) { return l->height + 2 * l->padding - l->size + 1; }
static int maps_width(const Layer *l) { return l->width + 2 * l->padding - l->size + 1; }
static int output_height(const Layer *l) { return maps_height(l) / (l->pool ? 2 : 1); }
static int output_width(const Layer *l) { return maps_width(l) / (l->pool ? 2 : 1); }

static long input_floats(const Layer *l) {
    return (long)l->channels * l->height * l->width * LANES;
}

static long output_floats(const Layer *l) {
    return (long)l->filters * output_height(l) * output_width(l) * LANES;
}

static Padded padded_input(const Layer *l) { return padded(l->height, l->width, l->padding); }

/* The gradient's maps, with the margin that the convolution back to the input needs. */
static Padded padded_gradient(const Layer *l) {
    return padded(maps_height(l), maps_width(l), larger(l->size - 1 - l->padding, 0));
}

/* How many filters' gradients are kept at once: all, if they go back to the input. */
static int kept_filters(const Layer *l, int first) {
    return first ? smaller(l->filters, TILE_FILTERS) : l->filters;
}

/* How many groups are worked on together: small maps come in long rows of several groups. */
static int groups_at_once(const Layer *l, int first, int groups) {
    long floats = l->channels * area(padded_input(l)) +
                  kept_filters(l, first) * area(padded_gradient(l));
    return smaller(groups, larger(1, (int)(CACHE_BYTES / (floats * sizeof(float)))));
}

/* A filter's map of a group among a layer's outputs, and its pooling's winners. */
static long map_at(const Layer *l, long group, int filter) {
    return (group * l->filters + filter) * output_height(l) * output_width(l);
}

#define MAP(base, l, group, filter) ((Lanes *)(base) + map_at(l, group, filter))
#define WINNERS(base, l, group, filter) ((base) + map_at(l, group, filter))

/* --- the workspace ------------------------------------------------------------------------ */

#define MOST_LAYERS 16

/* Where everything lies in the caller's one block of memory. */
typedef struct {
    float *output[MOST_LAYERS];  /* of each layer */
    float *maps[MOST_LAYERS];    /* before a batch norm */
    float *moments[MOST_LAYERS]; /* of a batch norm: [filters] means, then 1 / deviations */
    Bytes *winners[MOST_LAYERS]; /* of a pooling: which of four pixels was the largest */
    float *weights[MOST_LAYERS]; /* in the order in which tiles read them */
    long *taps_at, *turned_at;   /* of taps in the padded input, and in the padded gradient */
    long *rows_at;               /* of rows in the padded gradient and input, in pairs */
    float *gradient[2];          /* of a layer's output, and of its input */
    float *input, *gradients;    /* padded maps of a block of groups */
    float *rows;                 /* two rows of a few filters' maps */
    float *sums;                 /* of the weights' gradient, a lane an image */
} Workspace;

/* The next `floats` of the workspace, which is NULL while it is measured. */
static float *take(float *base, long *used, long floats) {
    float *here = base ? base + *used : NULL;
    *used += (floats + 15) / 16 * 16;
    return here;
}

static long lay_out(Workspace *w, float *base, const Layer *layers, int count, int groups,
                    int training) {
    long used = 0, input = 0, gradients = 0, gradient = 0, rows = 0, sums = 0, most_taps = 0,
         heights = 0;
    for (int i = 0; i < count; i++) {
        const Layer *l = &layers[i];
        long output = groups * output_floats(l), weights = (long)taps(l) * l->filters;
        int together = groups_at_once(l, i == 0, groups);
        w->output[i] = take(base, &used, output);
        w->maps[i] = l->norm && training ? take(base, &used, output) : w->output[i];
        w->moments[i] = take(base, &used, 2 * l->filters);
        w->winners[i] = l->pool ? (Bytes *)take(base, &used, output / 4 + 1) : NULL;
        w->weights[i] = take(base, &used, weights);
        input = larger(input, together * l->channels * area(padded_input(l)));
        rows = larger(rows, 2 * TILE_FILTERS * (larger(maps_width(l), l->width) + 1) * LANES);
        most_taps = larger(most_taps, larger(taps(l), l->filters * l->size * l->size));
        gradients = larger(gradients,
                           together * kept_filters(l, i == 0) * area(padded_gradient(l)));
        gradient = larger(gradient, larger(output, groups * input_floats(l)));
        sums = larger(sums, weights * LANES);
        heights = larger(heights, together * maps_height(l));
    }
    w->taps_at = (long *)take(base, &used, most_taps * 2);
    w->turned_at = (long *)take(base, &used, most_taps * 2);
    w->rows_at = (long *)take(base, &used, heights * 4);
    w->input = take(base, &used, input);
    w->rows = take(base, &used, rows);
    if (training) {
        w->gradients = take(base, &used, gradients);
        w->gradient[0] = take(base, &used, gradient);
        w->gradient[1] = take(base, &used, gradient);
        w->sums = take(base, &used, sums);
    }
    return used;
}

/* How many floats `forward` and `backward` need; evaluation takes one group after the other. */
long AT_LEVEL(workspace_floats)(const Layer *layers, int count, int batch, int training) {
    Workspace unused;
    return lay_out(&unused, NULL, layers, count, training ? groups_of(batch) : 1, training);
}

/* --- lanes -------------------------------------------------------------------------------- */

INLINE Lanes all_lanes(float value) { return (Lanes){0} + value; }

INLINE Lanes keep(LaneMask mask, Lanes values) { return (Lanes)(mask & (LaneMask)values); }

INLINE Lanes select(LaneMask mask, Lanes yes, Lanes no) {
    return (Lanes)((mask & (LaneMask)yes) | (~mask & (LaneMask)no));
}

/* The lanes of a group in which there is an image. */
static LaneMask lanes_of(int group, int batch) {
    return (LaneMask){0, 1, 2, 3, 4, 5, 6, 7} < (LaneMask){0} + (batch - group * LANES);
}

static double total(Lanes v) {
    return (((double)v[0] + v[1]) + ((double)v[2] + v[3])) +
           (((double)v[4] + v[5]) + ((double)v[6] + v[7]));
}

/* --- from and to images ------------------------------------------------------------------- */

/* Images [batch][channel][pixel] to one group's [channel][row][column][8]. */
static void gather(const float *images, int group, int batch, int channels, int height,
                   int width, float *maps, int pitch, long map_floats) {
    int present = smaller(LANES, batch - group * LANES);
    long pixels = (long)height * width;
    images += (long)group * LANES * channels * pixels;
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < height; y++)
            for (int lane = 0; lane < LANES; lane++) {
                const float *from = images + (lane * channels + c) * pixels + (long)y * width;
                float *to = maps + c * map_floats + (long)y * pitch * LANES + lane;
                for (int x = 0; x < width; x++)
                    to[x * LANES] = lane < present ? from[x] : 0;
            }
}

/* The way back: a group's maps [channel][pixel][8] to its images. */
static void scatter(const float *maps, int group, int batch, int channels, long pixels,
                    float *images) {
    int present = smaller(LANES, batch - group * LANES);
    images += (long)group * LANES * channels * pixels;
    for (int lane = 0; lane < present; lane++)
        for (long i = 0; i < channels * pixels; i++)
            images[lane * channels * pixels + i] = maps[i * LANES + lane];
}

/* The maps that enter a layer, with zeros around them; from images if it is the first. */
static void pad_input(const Layer *l, const float *maps, const float *images, int group,
                      int batch, float *to) {
    Padded map = padded_input(l);
    long row = (long)map.pitch * LANES;
    float *inside = to + map.margin * row + map.margin * LANES;
    memset(to, 0, l->channels * area(map) * sizeof(float));
    if (maps == NULL) {
        gather(images, group, batch, l->channels, l->height, l->width, inside, map.pitch,
               area(map));
        return;
    }
    for (int c = 0; c < l->channels; c++)
        for (int y = 0; y < l->height; y++)
            memcpy(inside + c * area(map) + y * row,
                   maps + ((long)c * l->height + y) * l->width * LANES,
                   l->width * LANES * sizeof(float));
}

/* --- convolution forward ------------------------------------------------------------------ */

/* The weights of a convolution from `channels` to `filters`, in pieces of TILE_FILTERS filters:
 * [piece][tap][filter]. Each is read at filter * filter_step + channel * channel_step + tap,
 * the taps of a channel backwards where they are turned by half a turn. */
static void pack(const float *weights, int filters, int channels, int area, long filter_step,
                 long channel_step, int turned, float *to) {
    for (int first = 0; first < filters; first += TILE_FILTERS) {
        int count = smaller(TILE_FILTERS, filters - first);
        for (int c = 0; c < channels; c++)
            for (int tap = 0; tap < area; tap++)
                for (int f = 0; f < count; f++)
                    *to++ = weights[(first + f) * filter_step + c * channel_step +
                                    (turned ? area - 1 - tap : tap)];
    }
}

/* Where each tap's value lies, from the output's pixel in the first of the padded maps. */
static void place_taps(int channels, int size, Padded map, long *offsets) {
    for (int c = 0; c < channels; c++)
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                *offsets++ = c * area(map) + ((long)y * map.pitch + x) * LANES;
}

/* The largest of each 2x2 pixels, and which it was: 0 to 3, or 4 if none is above -FLT_MAX.
 * Of equals the first counts, and NaN never, as in Paddle's max_pool2d_with_index. */
static void pool_rows(const float *upper, const float *lower, int width, float *to,
                      Bytes *winners) {
    for (int x = 0; x < width; x++) {
        const Lanes *pixels[2] = {(const Lanes *)upper + 2 * x, (const Lanes *)lower + 2 * x};
        Lanes best = all_lanes(-FLT_MAX);
        LaneMask winner = (LaneMask){0} + 4;
        for (int i = 0; i < 4; i++) {
            Lanes pixel = pixels[i / 2][i % 2];
            LaneMask above = pixel > best;
            best = select(above, pixel, best);
            winner = (above & i) | (~above & winner);
        }
        ((Lanes *)to)[x] = best;
        winners[x] = __builtin_convertvector(winner, Bytes);
    }
}

/* values * factor + term, then ReLU. Not a number stays so. */
static void finish_row(const float *values, int width, float factor, float term, int relu,
                       float *to) {
    for (int x = 0; x < width; x++) {
        Lanes value = ((const Lanes *)values)[x] * factor + term;
        ((Lanes *)to)[x] = relu ? select(value <= all_lanes(0), all_lanes(0), value) : value;
    }
}

/* What a filter's values are multiplied with and what is added to them: the bias, and in
 * evaluation the batch norm with its running statistics. */
static void affine(const Layer *l, int filter, int training, float *factor, float *term) {
    float bias = l->bias ? l->bias[filter] : 0;
    *factor = 1;
    *term = bias;
    if (l->norm && !training) {
        *factor = l->scale[filter] / sqrtf(l->variance[filter] + l->epsilon);
        *term = l->shift[filter] + (bias - l->mean[filter]) * *factor;
    }
}

/* One group through convolution, pooling, bias and, if nothing is left to do, ReLU. */
static void convolve_group(const Layer *l, const Workspace *w, int layer, int training,
                           float *output, Bytes *winners) {
    Padded map = padded_input(l);
    int width = output_width(l), height = output_height(l), step = l->pool ? 2 : 1;
    int relu = l->relu && !(l->norm && training);
    long row_stride = (long)(maps_width(l) + 1) * LANES, row = (long)width * LANES;
    for (int first = 0; first < l->filters; first += TILE_FILTERS) {
        int count = smaller(TILE_FILTERS, l->filters - first);
        const float *weights = w->weights[layer] + (long)first * taps(l);
        for (int y = 0; y < height; y++) {
            for (int i = 0; i < step; i++)
                AT_LEVEL(convolve_row)(w->input + (long)(y * step + i) * map.pitch * LANES,
                                       w->taps_at, taps(l), weights, count, width * step,
                                       w->rows + i * TILE_FILTERS * row_stride, row_stride);
            for (int f = 0; f < count; f++) {
                long at = (long)(first + f) * height + y;
                float *rows = w->rows + f * row_stride, factor, term;
                if (l->pool)
                    pool_rows(rows, rows + TILE_FILTERS * row_stride, width, rows,
                              winners + at * width);
                affine(l, first + f, training, &factor, &term);
                finish_row(rows, width, factor, term, relu, output + at * row);
            }
        }
    }
}

/* --- batch norm --------------------------------------------------------------------------- */


INLINE Lanes deviation(Lanes value, float center, int squared) {
    Lanes from_center = value - center;
    if (squared)
        from_center *= from_center;
    return from_center;
}

/* The mean over a filter's pixels of values - center, or of its square. */
INLINE float mean_of(const Layer *l, const float *maps, int filter, int batch, float center,
                     int squared) {
    long pixels = (long)output_height(l) * output_width(l);
    double sum = 0;
    for (int g = 0; g < groups_of(batch); g++) {
        const Lanes *map = MAP(maps, l, g, filter);
        LaneMask present = lanes_of(g, batch);
        /* Two sums, since each addition waits for the one before it. */
        Lanes even = {0}, odd = {0};
        for (long i = 0; i + 1 < pixels; i += 2) {
            even += deviation(map[i], center, squared);
            odd += deviation(map[i + 1], center, squared);
        }
        if (pixels % 2)
            even += deviation(map[pixels - 1], center, squared);
        sum += total(keep(present, even + odd));
    }
    return (float)(sum / ((double)batch * pixels));
}

/* Normalise with the batch's own mean and variance, which the running ones follow. */
static void norm_forward(const Layer *l, const Workspace *w, int layer, int batch) {
    float *means = w->moments[layer], *inverses = means + l->filters;
    int pixels = output_height(l) * output_width(l);
    for (int f = 0; f < l->filters; f++) {
        float mean = mean_of(l, w->maps[layer], f, batch, 0, 0);
        float variance = mean_of(l, w->maps[layer], f, batch, mean, 1);
        means[f] = mean;
        inverses[f] = 1 / sqrtf(variance + l->epsilon);
        l->mean[f] = l->mean[f] * l->momentum + mean * (1 - l->momentum);
        l->variance[f] = l->variance[f] * l->momentum + variance * (1 - l->momentum);
        float factor = l->scale[f] * inverses[f], term = l->shift[f] - mean * factor;
        for (int g = 0; g < groups_of(batch); g++)
            finish_row((const float *)MAP(w->maps[layer], l, g, f), pixels, factor, term,
                       l->relu, (float *)MAP(w->output[layer], l, g, f));
    }
}

/* A pixel's gradient behind the ReLU to that before it, and to the sums of dy and of dy * z. */
INLINE void add_gradient(Lanes *dy, Lanes output, Lanes value, float mean, float inverse, int relu,
                         Lanes sums[2]) {
    if (relu)
        *dy *= select(output > all_lanes(0), all_lanes(1), all_lanes(0));
    sums[0] += *dy;
    sums[1] += *dy * ((value - mean) * inverse);
}

/* In place: the gradient of the batch norm's output to that of its input.
 *
 * With n values x of a filter and z = (x - mean) / deviation, after Ioffe and Szegedy 2015:
 * dx = scale / deviation * (dy - sum(dy) / n - z * sum(dy * z) / n). */
static void norm_backward(const Layer *l, const Workspace *w, int layer, int batch,
                          float *gradient) {
    long pixels = (long)output_height(l) * output_width(l);
    for (int f = 0; f < l->filters; f++) {
        float mean = w->moments[layer][f], inverse = w->moments[layer][l->filters + f];
        double sum = 0, product_sum = 0;
        for (int g = 0; g < groups_of(batch); g++) {
            const Lanes *maps = MAP(w->maps[layer], l, g, f);
            const Lanes *outputs = MAP(w->output[layer], l, g, f);
            Lanes *dy = MAP(gradient, l, g, f), even[2] = {{0}, {0}}, odd[2] = {{0}, {0}};
            long i = 0;
            for (; i + 1 < pixels; i += 2) {
                add_gradient(&dy[i], outputs[i], maps[i], mean, inverse, l->relu, even);
                add_gradient(&dy[i + 1], outputs[i + 1], maps[i + 1], mean, inverse, l->relu, odd);
            }
            if (i < pixels)
                add_gradient(&dy[i], outputs[i], maps[i], mean, inverse, l->relu, even);
            LaneMask present = lanes_of(g, batch);
            sum += total(keep(present, even[0] + odd[0]));
            product_sum += total(keep(present, even[1] + odd[1]));
        }
        l->shift_gradient[f] += (float)sum;
        l->scale_gradient[f] += (float)product_sum;
        double values = (double)batch * pixels;
        float factor = l->scale[f] * inverse;
        float part = (float)(sum / values), slope = (float)(product_sum / values);
        for (int g = 0; g < groups_of(batch); g++) {
            const Lanes *maps = MAP(w->maps[layer], l, g, f);
            Lanes *dy = MAP(gradient, l, g, f);
            LaneMask present = lanes_of(g, batch);
            for (long i = 0; i < pixels; i++) {
                Lanes z = (maps[i] - mean) * inverse;
                dy[i] = keep(present, factor * (dy[i] - part - z * slope));
            }
        }
    }
}

/* --- convolution backward ----------------------------------------------------------------- */

/* The gradient of a filter's convolution from that of what followed it, into padded maps;
 * returns its sum, the bias's gradient. */
static float unpool(const Layer *l, const Lanes *outputs, const Bytes *winners,
                    const Lanes *gradient, float *to) {
    Padded map = padded_gradient(l);
    int width = output_width(l), height = output_height(l);
    int relu = l->relu && !l->norm;
    Lanes sum = {0};
    memset(to, 0, area(map) * sizeof(float));
    for (int y = 0; y < height; y++) {
        long first_row = (long)(map.margin + y * (l->pool ? 2 : 1)) * map.pitch + map.margin;
        Lanes *upper = (Lanes *)to + first_row, *lower = upper + map.pitch;
        for (int x = 0; x < width; x++) {
            long i = (long)y * width + x;
            Lanes value = gradient[i];
            if (relu)
                value *= select(outputs[i] > all_lanes(0), all_lanes(1), all_lanes(0));
            sum += value;
            if (!l->pool) {
                upper[x] = value;
                continue;
            }
            LaneMask winner = __builtin_convertvector(winners[i], LaneMask);
            upper[2 * x] = keep(winner == 0, value);
            upper[2 * x + 1] = keep(winner == 1, value);
            lower[2 * x] = keep(winner == 2, value);
            lower[2 * x + 1] = keep(winner == 3, value);
        }
    }
    return (float)total(sum);
}

/* Adds the products of a few filters' gradients and the input to the sums of the weights'
 * gradient, [filter][tap][8], in bands of rows that stay in the first cache for all taps. */
static void add_weight_gradient(const Layer *l, const Workspace *w, const float *gradients,
                                int filters, int row_count, float *sums) {
    Padded gradient = padded_gradient(l);
    int row_bytes = TILE_FILTERS * gradient.pitch * LANES * (int)sizeof(float);
    int band = larger(1, FIRST_CACHE_BYTES / row_bytes);
    for (int first = 0; first < row_count; first += band)
        AT_LEVEL(add_products)(gradients, area(gradient), filters, w->input, w->taps_at, taps(l),
                               w->rows_at + 2 * first, smaller(band, row_count - first),
                               maps_width(l), sums);
}

/* Where each row of each group begins, in the padded gradients and in the padded input. */
static void place_rows(const Layer *l, int groups, long group_floats, long *at) {
    Padded input = padded_input(l), gradient = padded_gradient(l);
    for (int g = 0; g < groups; g++)
        for (int y = 0; y < maps_height(l); y++) {
            *at++ = g * group_floats +
                    ((long)(gradient.margin + y) * gradient.pitch + gradient.margin) * LANES;
            *at++ = g * l->channels * area(input) + (long)y * input.pitch * LANES;
        }
}

/* The gradient of a layer's input, for one group: a convolution of the gradient of its maps
 * with the weights turned by half a turn. */
static void convolve_back(const Layer *l, const Workspace *w, const float *weights,
                          const float *gradients, float *to) {
    Padded map = padded_gradient(l);
    int cut = larger(l->padding - (l->size - 1), 0), tap_count = l->filters * l->size * l->size;
    long row_stride = (long)(l->width + 1) * LANES, row = (long)l->width * LANES;
    gradients += (long)cut * (map.pitch + 1) * LANES;
    for (int first = 0; first < l->channels; first += TILE_FILTERS) {
        int count = smaller(TILE_FILTERS, l->channels - first);
        for (int y = 0; y < l->height; y++) {
            AT_LEVEL(convolve_row)(gradients + (long)y * map.pitch * LANES, w->turned_at,
                                   tap_count, weights + (long)first * tap_count, count, l->width,
                                   w->rows, row_stride);
            for (int c = 0; c < count; c++)
                memcpy(to + ((long)(first + c) * l->height + y) * row,
                       w->rows + c * row_stride, row * sizeof(float));
        }
    }
}

/* The gradients of `groups` groups from `start` on: of weights and bias, and of the input. */
static void groups_backward(const Layer *l, const Workspace *w, int layer, int start, int groups,
                            const float *gradient, float *to) {
    int kept = kept_filters(l, layer == 0);
    long map = area(padded_gradient(l)), group_floats = kept * map;
    place_rows(l, groups, group_floats, w->rows_at);
    for (int first = 0; first < l->filters; first += TILE_FILTERS) {
        int count = smaller(TILE_FILTERS, l->filters - first);
        float *gradients = w->gradients + (kept == l->filters ? first * map : 0);
        for (int g = 0; g < groups; g++)
            for (int f = first; f < first + count; f++) {
                float sum = unpool(l, MAP(w->output[layer], l, start + g, f),
                                   l->pool ? WINNERS(w->winners[layer], l, start + g, f) : NULL,
                                   MAP(gradient, l, start + g, f),
                                   gradients + g * group_floats + (f - first) * map);
                if (l->bias)
                    l->bias_gradient[f] += sum;
            }
        add_weight_gradient(l, w, gradients, count, groups * maps_height(l),
                            w->sums + (long)first * taps(l) * LANES);
    }
    for (int g = 0; g < groups && to != NULL; g++)
        convolve_back(l, w, w->weights[layer], w->gradients + g * group_floats,
                      to + (start + g) * input_floats(l));
}

/* A layer's gradients from that of its output, which is overwritten; `to` is NULL for the
 * first layer, whose input needs none. */
static void layer_backward(const Layer *l, const Workspace *w, int layer, const float *images,
                           int batch, float *gradient, float *to) {
    int groups = groups_of(batch), together = groups_at_once(l, layer == 0, groups);
    long input_area = l->channels * area(padded_input(l)), square = (long)l->size * l->size;
    if (l->norm)
        norm_backward(l, w, layer, batch, gradient);
    if (to != NULL) {
        /* The forward pass is over: its weights may be overwritten. */
        pack(l->weight, l->channels, l->filters, square, square, taps(l), 1, w->weights[layer]);
        place_taps(l->filters, l->size, padded_gradient(l), w->turned_at);
    }
    place_taps(l->channels, l->size, padded_input(l), w->taps_at);
    memset(w->sums, 0, (long)l->filters * taps(l) * LANES * sizeof(float));
    for (int start = 0; start < groups; start += together) {
        int count = smaller(together, groups - start);
        for (int g = 0; g < count; g++)
            pad_input(l, layer ? w->output[layer - 1] + (start + g) * input_floats(l) : NULL,
                      images, start + g, batch, w->input + g * input_area);
        groups_backward(l, w, layer, start, count, gradient, to);
    }
    for (long i = 0; i < (long)l->filters * taps(l); i++)
        l->weight_gradient[i] += (float)total(((Lanes *)w->sums)[i]);
}

/* --- the whole stack ---------------------------------------------------------------------- */

static void convolve_layer(const Layer *l, const Workspace *w, int layer, const float *images,
                           int group, int batch, int training) {
    /* Evaluation keeps one group at a time. */
    long kept = training ? group : 0;
    pad_input(l, layer ? w->output[layer - 1] + kept * input_floats(l) : NULL, images, group,
              batch, w->input);
    place_taps(l->channels, l->size, padded_input(l), w->taps_at);
    convolve_group(l, w, layer, training, w->maps[layer] + kept * output_floats(l),
                   l->pool ? WINNERS(w->winners[layer], l, kept, 0) : NULL);
}

/* images [batch][channels][height][width] to output [batch][filters][height][width] of the last
 * layer. In training the workspace keeps what `backward` needs. */
void AT_LEVEL(forward)(const Layer *layers, int count, const float *images, int batch,
                       int training, float *output, float *workspace) {
    Workspace w;
    int groups = groups_of(batch);
    const Layer *last = &layers[count - 1];
    long pixels = (long)output_height(last) * output_width(last);
    lay_out(&w, workspace, layers, count, training ? groups : 1, training);
    for (int i = 0; i < count; i++) {
        const Layer *l = &layers[i];
        pack(l->weight, l->filters, l->channels, l->size * l->size, taps(l), l->size * l->size,
             0, w.weights[i]);
    }
    if (training)
        for (int i = 0; i < count; i++) {
            for (int g = 0; g < groups; g++)
                convolve_layer(&layers[i], &w, i, images, g, batch, 1);
            if (layers[i].norm)
                norm_forward(&layers[i], &w, i, batch);
        }
    for (int g = 0; g < groups; g++) {
        if (!training)
            for (int i = 0; i < count; i++)
                convolve_layer(&layers[i], &w, i, images, g, batch, 0);
        scatter(w.output[count - 1] + (training ? g : 0) * output_floats(last), g, batch,
                last->filters, pixels, output);
    }
}

/* The gradients of all weights, from that of the output, after a `forward` of the same images in
 * training that left the workspace. */
void AT_LEVEL(backward)(const Layer *layers, int count, const float *images, int batch,
                        const float *output_gradient, float *workspace) {
    Workspace w;
    const Layer *last = &layers[count - 1];
    int height = output_height(last), width = output_width(last);
    lay_out(&w, workspace, layers, count, groups_of(batch), 1);
    for (int g = 0; g < groups_of(batch); g++)
        gather(output_gradient, g, batch, last->filters, height, width,
               w.gradient[0] + g * output_floats(last), width, (long)height * width * LANES);
    for (int i = count - 1, from = 0; i >= 0; i--, from = !from)
        layer_backward(&layers[i], &w, i, images, batch, w.gradient[from],
                       i ? w.gradient[!from] : NULL);
}
