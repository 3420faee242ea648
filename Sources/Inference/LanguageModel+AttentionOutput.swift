// SPDX-License-Identifier: Apache-2.0

extension LanguageModel {
    /// The output projection of a layer's attention, [hidden][heads · head dimension], dequantised. Calibration weighs
    /// values by it.
    public func attentionOutput(layer: Int) -> [Float] {
        let weight = layers[layer].attentionOutput
        return Array(unsafeUninitializedCapacity: weight.inputs * weight.outputs) { buffer, count in
            for row in 0..<weight.outputs {
                let part = buffer[row * weight.inputs..<(row + 1) * weight.inputs]
                weight.copyRow(row, to: UnsafeMutableBufferPointer(rebasing: part))
            }
            count = weight.inputs * weight.outputs
        }
    }
}
