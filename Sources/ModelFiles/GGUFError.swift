// SPDX-License-Identifier: Apache-2.0

/// What is wrong with a model's file, in which file, in a plain sentence.
public struct GGUFError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kinds of failure that a caller may want to tell apart.
    public enum Reason: Equatable, Sendable {
        /// The file cannot be opened or mapped; carries the system's message.
        case unreadable(String)
        /// The first four bytes are not `GGUF`.
        case notGGUF
        /// The file is of a version that this reader does not know (it reads 2 and 3).
        case unsupportedVersion(UInt32)
        /// The file is stored in big-endian order.
        case bigEndian
        /// The file ends before something that it announces; carries what that was and the offset in bytes.
        case truncated(String, offset: Int)
        /// A count, length, offset, type or name in the file is wrong; carries the sentence that says which.
        case malformed(String)
        /// A metadata key that is needed is absent.
        case missingKey(String)
        /// A metadata value has another type than the one needed.
        case wrongType(key: String, expected: String, found: String)
        /// A tensor that is needed is absent.
        case missingTensor(String)
        /// A tensor has an element type that cannot be read yet.
        case unsupportedType(tensor: String, type: GGMLType)
        /// The file needs something that is not implemented; carries the sentence that says what.
        case unsupported(String)
        /// The destination given to a dequantisation has the wrong number of elements.
        case wrongDestination(tensor: String, needed: Int, given: Int)
    }

    /// The file that the error is about.
    public let path: String
    /// What went wrong.
    public let reason: Reason

    /// Makes an error about one file.
    public init(path: String, reason: Reason) {
        self.path = path
        self.reason = reason
    }

    /// What was wrong, where, and what to do next.
    public var description: String { "\(path): \(sentence)" }

    private var sentence: String {
        switch reason {
        case .unreadable(let message):
            "the file cannot be read (\(message)); check the path and its permissions"
        case .notGGUF:
            "this is not a GGUF file; give the path of a model in GGUF format"
        case .unsupportedVersion(let version):
            "GGUF version \(version) is not supported; convert the model to version 3"
        case .bigEndian:
            "the file is big-endian; convert the model to little-endian order"
        case .truncated(let what, let offset):
            "the file ends before \(what) at byte \(offset); it is truncated or damaged, fetch it again"
        case .malformed(let sentence):
            "\(sentence); the file is damaged or was written wrongly, fetch or convert it again"
        case .missingKey(let key):
            "the metadata has no key “\(key)”; convert the model again with a current converter"
        case .wrongType(let key, let expected, let found):
            "the metadata key “\(key)” holds \(found) where \(expected) is needed; convert the model again"
        case .missingTensor(let name):
            "there is no tensor “\(name)”; the model is incomplete or of another architecture"
        case .unsupportedType(let tensor, let type):
            "tensor “\(tensor)” is stored as \(type.name), which cannot be read yet; "
                + "use a model in \(GGMLType.readable.map(\.name).joined(separator: ", "))"
        case .unsupported(let sentence):
            "\(sentence), which cannot be read; convert the model to F32, F16 or BF16"
        case .wrongDestination(let tensor, let needed, let given):
            "tensor “\(tensor)” has \(needed) values but the destination has room for \(given)"
        }
    }
}
