// SPDX-License-Identifier: Apache-2.0
// Which rows are references.
#include "CCompression.h"

size_t dkv_references_before(const dkv_layer *layer, size_t position) {
    if (position <= layer->sinks) return position;
    return layer->sinks + (position - layer->sinks + layer->stride - 1) / layer->stride;
}

bool dkv_is_reference(const dkv_layer *layer, size_t position) {
    return position < layer->sinks || (position - layer->sinks) % layer->stride == 0;
}
