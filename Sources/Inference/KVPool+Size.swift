// SPDX-License-Identifier: Apache-2.0
import Kernels

extension KVPool {
    /// Bytes that a page of a model's pool takes, and so ``pageTokens`` tokens of its KV cache.
    public static func pageBytes(configuration: ModelConfiguration, dataType: KVDataType) -> Int {
        KVLayout(
            layers: configuration.layers, kvHeads: configuration.kvHeads, headDimension: configuration.headDimension,
            half: dataType == .float16
        ).pageBytes
    }
}
