// SPDX-License-Identifier: Apache-2.0
import Crypto

/// The SHA-256 of files.
enum FileDigest {
    /// Of several files' bytes, one file after another, in lower-case hexadecimal.
    static func sha256(_ files: [MappedFile]) -> String {
        let chunk = 1 << 22
        var hash = SHA256()
        for file in files {
            for start in stride(from: 0, to: file.bytes.count, by: chunk) {
                let end = min(start + chunk, file.bytes.count)
                hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: file.bytes[start..<end]))
            }
        }
        return hash.finalize().hexadecimal
    }
}

extension Sequence<UInt8> {
    /// The bytes in lower-case hexadecimal.
    public var hexadecimal: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
