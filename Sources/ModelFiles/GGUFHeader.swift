// SPDX-License-Identifier: Apache-2.0

/// The fixed start of a GGUF file.
struct GGUFHeader {
    let version: Int
    let tensorCount: Int
    let keyCount: Int

    /// Name length, one dimension count, type and offset: no tensor description is shorter.
    private static let minimumTensorBytes = 8 + 4 + 4 + 8
    /// Key length, value type and one byte of value.
    private static let minimumKeyBytes = 8 + 4 + 1

    init(_ cursor: inout GGUFCursor) throws(GGUFError) {
        let path = cursor.file.path
        guard try cursor.integer(UInt32.self, "the magic number") == 0x4655_4747 else {
            throw GGUFError(path: path, reason: .notGGUF)
        }
        let version = try cursor.integer(UInt32.self, "the version")
        guard version == 2 || version == 3 else {
            let swapped = version.byteSwapped
            throw GGUFError(path: path, reason: 1...3 ~= swapped ? .bigEndian : .unsupportedVersion(version))
        }
        self.version = Int(version)
        tensorCount = try cursor.count(minimumBytes: Self.minimumTensorBytes, "the number of tensors")
        keyCount = try cursor.count(minimumBytes: Self.minimumKeyBytes, "the number of metadata keys")
    }
}

extension GGUFCursor {
    /// Reads the key-value part.
    mutating func keyValues(_ count: Int) throws(GGUFError) -> [String: GGUFValue] {
        var values: [String: GGUFValue] = [:]
        for index in 0..<count {
            let key = try string("the name of metadata key \(index)")
            let value = try value(key: key)
            guard values.updateValue(value, forKey: key) == nil else {
                throw malformed("the key “\(key)” appears twice")
            }
        }
        return values
    }
}

extension GGUFMetadata {
    /// The multiple of bytes at which the tensors' data starts: the file's own, or the format's default.
    func alignment(_ path: String) throws(GGUFError) -> Int {
        let value = try intIfPresent("general.alignment") ?? 32
        guard value >= 8, value <= 1 << 30, value & (value - 1) == 0 else {
            throw GGUFError(
                path: path, reason: .malformed("the alignment is \(value), which is not a power of two from 8 to 2^30"))
        }
        return value
    }
}
