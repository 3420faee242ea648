// SPDX-License-Identifier: Apache-2.0
import CCompression
import Kernels

/// Consecutive layers of a sequence that are coded or decoded together: each thread takes a few rows through all of them.
struct LayerStack {
    let codecs: [LayerCodec]
    let work: CodecWorkspace

    /// Rows of all layers, and of the layers before that the first of these are predicted from, as C wants them: with the layers
    /// before in front of what the pointer points at.
    func withPlanes<Result>(
        _ layers: [Matrix]?, after sources: [Matrix], _ body: (UnsafePointer<dkv_plane>?) -> Result
    ) -> Result {
        let own = layers?.map { dkv_plane(base: $0.base, ld: $0.stride) } ?? codecs.map { _ in dkv_plane() }
        let all = sources.reversed().map { dkv_plane(base: $0.base, ld: $0.stride) } + own
        return all.withUnsafeBufferPointer { body($0.baseAddress.map { $0 + sources.count }) }
    }

    /// What C needs most for any layer.
    func most(_ bytes: (UnsafePointer<dkv_layer>) -> Int) -> Int {
        codecs.reduce(0) { max($0, bytes(UnsafePointer($1.description))) }
    }
}
