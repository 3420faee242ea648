// SPDX-License-Identifier: Apache-2.0
import Kernels

/// Why rows cannot be coded or decoded, or a compressor cannot be made or used.
public enum CompressionError: Error, Equatable, CustomStringConvertible {
    /// Rows to be coded hold an infinity or a value that is no number.
    case nonFiniteRow(layer: Int)
    /// Coded rows are damaged.
    case damagedRows(layer: Int)
    /// A sequence has more references than their ids can tell apart (the paper's codec).
    case tooManyReferences(layer: Int, limit: Int)
    /// A compressor file cannot be read or written; the text says why.
    case file(path: String, reason: String)
    /// The compressor was made for other weights.
    case otherModel(path: String)
    /// Calibration was given too little text.
    case tooLittleText(tokens: Int, needed: Int)
    /// Statistics of a layer have no solution; the text says which.
    case degenerate(layer: Int, reason: String)
    /// The compute layer failed.
    case kernel(KernelError)

    /// What is wrong and what to do next, in a sentence.
    public var description: String {
        switch self {
        case .nonFiniteRow(let layer):
            "Keys or values of layer \(layer) are infinite or no numbers. The model's weights may be damaged; verify the file."
        case .damagedRows(let layer):
            "The compressed keys and values of layer \(layer) are damaged. Drop the cache; it is computed again."
        case .tooManyReferences(let layer, let limit):
            "The sequence has more than \(limit) references in layer \(layer). Choose a longer stride or a shorter context."
        case .file(let path, let reason):
            "The compressor \(path) \(reason)."
        case .otherModel(let path):
            "The compressor \(path) was made for another model. Run 'deltakv calibrate' for this one."
        case .tooLittleText(let tokens, let needed):
            "Calibration needs \(needed) tokens of text at least, but the files hold \(tokens). Give more files."
        case .degenerate(let layer, let reason):
            "Calibration of layer \(layer) failed: \(reason). Give more and more varied text."
        case .kernel(let error): error.description
        }
    }
}

extension CompressionError {
    /// Memory, or why there is none.
    static func reserve(_ bytes: Int) throws(CompressionError) -> ReservedMemory {
        do throws(KernelError) { return try ReservedMemory(count: bytes, hugePages: bytes >= 2 << 20) } catch {
            throw .kernel(error)
        }
    }
}
