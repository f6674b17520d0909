/* Stacks of convolutions, batch norms and ReLUs within a network: as the kernels' own stacks, but
 * the gradient of what enters one is computed, too.
 *
 * The first of a stack's layers only describes its input: as many filters as channels, 1x1, no
 * norm. It is never computed; its "output" is where the input lies.
 */
#include "../../mnist/kernels/network.c"

#define EXPORT __attribute__((visibility("default")))

static void gather_all(const float *images, const Layer *l, int batch, float *maps) {
    int height = output_height(l), width = output_width(l);
    for (int g = 0; g < groups_of(batch); g++)
        gather(images, g, batch, l->filters, height, width, maps + g * output_floats(l), width,
               (long)height * width * LANES);
}

static void scatter_all(const float *maps, const Layer *l, int batch, float *images) {
    for (int g = 0; g < groups_of(batch); g++)
        scatter(maps + g * output_floats(l), g, batch, l->filters,
                (long)output_height(l) * output_width(l), images);
}

EXPORT long finder_workspace(const Layer *layers, int count, int batch) {
    return AT_LEVEL(workspace_floats)(layers, count, batch, 1);
}

EXPORT void finder_forward(const Layer *layers, int count, const float *input, int batch,
                           float *output, float *workspace) {
    Workspace w;
    lay_out(&w, workspace, layers, count, groups_of(batch), 1);
    gather_all(input, layers, batch, w.output[0]);
    for (int i = 1; i < count; i++) {
        const Layer *l = &layers[i];
        pack(l->weight, l->filters, l->channels, l->size * l->size, taps(l), l->size * l->size,
             0, w.weights[i]);
        for (int g = 0; g < groups_of(batch); g++)
            convolve_layer(l, &w, i, input, g, batch, 1);
        norm_forward(l, &w, i, batch);
    }
    scatter_all(w.output[count - 1], &layers[count - 1], batch, output);
}

/* `input_gradient` may be NULL. */
EXPORT void finder_backward(const Layer *layers, int count, const float *input, int batch,
                            const float *output_gradient, float *input_gradient,
                            float *workspace) {
    Workspace w;
    int from = 0;
    lay_out(&w, workspace, layers, count, groups_of(batch), 1);
    gather_all(output_gradient, &layers[count - 1], batch, w.gradient[0]);
    for (int i = count - 1; i > 0; i--, from = !from)
        layer_backward(&layers[i], &w, i, input, batch, w.gradient[from],
                       i > 1 || input_gradient ? w.gradient[!from] : NULL);
    if (input_gradient)
        scatter_all(w.gradient[from], layers, batch, input_gradient);
}
