// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// Why a model cannot be used or a step cannot be computed.
public enum InferenceError: Error, Equatable, CustomStringConvertible {
    /// The file's architecture has no implementation.
    case unsupportedArchitecture(String)
    /// The model needs something that is not implemented, named by the text.
    case unsupportedFeature(String)
    /// A value of the file's metadata is outside what makes sense.
    case invalidConfiguration(key: String, reason: String)
    /// A tensor's shape does not fit the model's configuration.
    case wrongShape(tensor: String, expected: [Int], found: [Int])
    /// A weight is infinite or not a number.
    case nonFiniteWeight(tensor: String)
    /// More pages were asked for than a pool can have.
    case invalidPageCount(Int)
    /// A segment of a step cannot be computed; the text says why.
    case invalidSegment(index: Int, reason: String)
    /// The step's segments have more tokens than the forward pass was made for.
    case tooManyRows(Int, limit: Int)
    /// A segment's logits are infinite or not numbers, although its input was valid: the weights do not suit fp32.
    case nonFiniteLogits(segment: Int)
    /// The compute layer failed.
    case kernel(KernelError)

    /// What is wrong and what to do next, in a sentence.
    public var description: String {
        switch self {
        case .unsupportedArchitecture(let name):
            "The model's architecture is \"\(name)\"; supported are \(Architecture.all.map(\.name).joined(separator: ", ")). Choose another model."
        case .unsupportedFeature(let what): "The model needs \(what), which is not supported. Choose another model."
        case .invalidConfiguration(let key, let reason): "The model file's \(key) is invalid: \(reason)."
        case .wrongShape(let tensor, let expected, let found):
            "Tensor \(tensor) has shape \(found), but the model's configuration asks for \(expected). The file is damaged."
        case .nonFiniteWeight(let tensor):
            "Tensor \(tensor) holds an infinite value or one that is no number. The file is damaged; fetch it again."
        case .invalidPageCount(let count): "A KV pool cannot have \(count) pages; give a number from 1 to 2^31 - 1."
        case .invalidSegment(let index, let reason): "Segment \(index) of the step is invalid: \(reason)."
        case .tooManyRows(let rows, let limit):
            "The step has \(rows) tokens, more than the \(limit) that the forward pass was made for; split the prompt."
        case .nonFiniteLogits(let segment):
            "The logits of segment \(segment) are infinite or no numbers. The model's weights may be damaged; verify the file."
        case .kernel(let error): error.description
        }
    }
}
