// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// What can be said of a model without loading its weights.
extension LanguageModel {
    /// Checks that a model's tensors are those that its configuration asks for, of types that can be read.
    ///
    /// - Throws: ``InferenceError`` or `GGUFError` for the first that is missing, unknown or unreadable.
    public static func check(_ model: ModelFile) throws {
        let configuration = try ModelConfiguration(model)
        let loader = try WeightLoader(model, configuration: configuration, form: .native)
        for name in loader.neededNames { try loader.checkReadable(name) }
    }

    /// Bytes that the weights take when they are loaded as ``WeightForm/native``: the file's own blocks where products can be
    /// computed on them, else Q8_0; vectors in fp32.
    public static func nativeBytes(_ model: ModelFile) -> Int {
        model.tensors.reduce(0) { sum, tensor in
            guard tensor.shape.count > 1 else { return sum + 4 * tensor.elementCount }
            let type = QuantizedType(rawValue: tensor.type.rawValue) ?? .q8_0
            return sum + tensor.elementCount / QuantizedType.blockLength * type.blockBytes
        }
    }
}
