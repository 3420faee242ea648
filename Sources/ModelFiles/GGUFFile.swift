// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A model in GGUF format (versions 2 and 3, little-endian), mapped into memory: one file, or a split one's parts, which
/// are found by the first's name.
///
/// The file is untrusted. Opening it checks every count, length, type and offset, so that whatever is handed out lies
/// inside the file; memory taken is bounded by the size of the file, not by what the file announces.
public final class GGUFFile: Sendable {
    /// The path that the file, or the first part, was opened by.
    public let path: String
    /// The version of the format, 2 or 3.
    public let version: Int
    /// The size of all parts in bytes.
    public let size: Int
    /// The key-value part; a split model's is in its first file.
    public let metadata: GGUFMetadata
    /// All tensors, in the order of the file.
    public let tensors: [GGUFTensor]

    private let files: [MappedFile]
    private let indexByName: [String: Int]
    private let cachedDigest = Mutex<String?>(nil)

    /// Opens and checks a file.
    ///
    /// - Throws: ``GGUFError`` where the file cannot be read, is not GGUF, or contradicts itself.
    public init(path: String) throws(GGUFError) {
        let parts = try GGUFPart.all(path: path)
        var tensors: [GGUFTensor] = []
        var indexByName: [String: Int] = [:]
        for part in parts {
            for tensor in part.tensors {
                guard indexByName.updateValue(tensors.count, forKey: tensor.name) == nil else {
                    throw GGUFError(path: path, reason: .malformed("the tensor “\(tensor.name)” appears twice"))
                }
                tensors.append(tensor)
            }
        }
        self.path = path
        self.version = parts[0].version
        self.files = parts.map(\.file)
        self.size = files.reduce(0) { $0 + $1.bytes.count }
        self.metadata = parts[0].metadata
        self.tensors = tensors
        self.indexByName = indexByName
    }

    /// The tensor of a name.
    ///
    /// - Throws: ``GGUFError`` where there is none.
    public func tensor(named name: String) throws(GGUFError) -> GGUFTensor {
        guard let index = indexByName[name] else { throw GGUFError(path: path, reason: .missingTensor(name)) }
        return tensors[index]
    }

    /// The SHA-256 of the whole file, or of all parts one after another, in lower-case hexadecimal.
    /// Computed at the first call, which reads them whole.
    public func digest() -> String {
        cachedDigest.withLock { cached in
            if let cached { return cached }
            let digest = FileDigest.sha256(files)
            cached = digest
            return digest
        }
    }
}
