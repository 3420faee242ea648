// SPDX-License-Identifier: Apache-2.0
import Crypto
import Synchronization

/// A GGUF model file (versions 2 and 3, little-endian), mapped into memory.
///
/// The file is untrusted. Opening it checks every count, length, type and offset, so that whatever is handed out lies
/// inside the file; memory taken is bounded by the size of the file, not by what the file announces.
public final class GGUFFile: Sendable {
    /// The path that the file was opened by.
    public let path: String
    /// The version of the format, 2 or 3.
    public let version: Int
    /// The size of the file in bytes.
    public let size: Int
    /// The key-value part.
    public let metadata: GGUFMetadata
    /// All tensors, in the order of the file.
    public let tensors: [GGUFTensor]

    private let file: MappedFile
    private let indexByName: [String: Int]
    private let cachedDigest = Mutex<String?>(nil)

    /// Opens and checks a file.
    ///
    /// - Throws: ``GGUFError`` where the file cannot be read, is not GGUF, or contradicts itself.
    public init(path: String) throws(GGUFError) {
        let file = try MappedFile(path: path)
        var cursor = GGUFCursor(file: file)
        let header = try GGUFHeader(&cursor)
        let values = try cursor.keyValues(header.keyCount)
        let metadata = GGUFMetadata(file: file, values: values)
        let tensors = try cursor.tensors(header.tensorCount, alignment: metadata.alignment(file.path))
        self.path = path
        self.version = header.version
        self.size = file.bytes.count
        self.file = file
        self.metadata = metadata
        self.tensors = tensors.list
        self.indexByName = tensors.indexByName
    }

    /// The tensor of a name.
    ///
    /// - Throws: ``GGUFError`` where there is none.
    public func tensor(named name: String) throws(GGUFError) -> GGUFTensor {
        guard let index = indexByName[name] else { throw GGUFError(path: path, reason: .missingTensor(name)) }
        return tensors[index]
    }

    /// The SHA-256 of the whole file in lower-case hexadecimal. Computed at the first call, which reads the whole file.
    public func digest() -> String {
        cachedDigest.withLock { cached in
            if let cached { return cached }
            let digest = computeDigest()
            cached = digest
            return digest
        }
    }

    private func computeDigest() -> String {
        let chunk = 1 << 22
        var hash = SHA256()
        for start in stride(from: 0, to: size, by: chunk) {
            let end = min(start + chunk, size)
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: file.bytes[start..<end]))
        }
        let digits = Array("0123456789abcdef".utf8)
        return String(
            decoding: hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
