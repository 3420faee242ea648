// SPDX-License-Identifier: Apache-2.0
import Foundation
import ModelFiles

@testable import Tokenization

/// A model file that holds nothing but a tokenizer. By default it has a token for each byte, ids being the bytes.
struct TokenizerFile {
    var model = "gpt2"
    var pre = "gpt-2"
    var tokens: [String]
    var types: [Int32]?
    var merges: [String] = []
    var integers: [String: UInt32] = [:]
    var texts: [String: String] = [:]

    init(pre: String = "gpt-2") {
        self.pre = pre
        tokens = (UInt8.min...UInt8.max).map(Self.character)
    }

    /// The character that stands for a byte, worked out anew: printable Latin-1 as it is, the others from U+0100.
    static func character(_ byte: UInt8) -> String {
        func isPrintable(_ byte: UInt8) -> Bool { 0x21...0x7e ~= byte || (byte >= 0xa1 && byte != 0xad) }
        if isPrintable(byte) { return String(Unicode.Scalar(byte)) }
        let others = (UInt8.min..<byte).filter { !isPrintable($0) }.count
        return String(Unicode.Scalar(UInt32(0x100 + others))!)
    }

    /// Adds a token with its type and, for a word, the merge that makes it.
    mutating func add(_ token: String, type: Int32 = 1, merge: String? = nil) {
        types = (types ?? tokens.map { _ in 1 }) + [type]
        tokens.append(token)
        if let merge { merges.append(merge) }
    }

    var bytes: [UInt8] {
        var bytes = Array("GGUF".utf8)
        func append<Value: FixedWidthInteger>(_ value: Value) {
            withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
        }
        func append(_ text: String) {
            append(UInt64(text.utf8.count))
            bytes += text.utf8
        }
        func strings(_ key: String, _ values: [String]) {
            append(key)
            append(UInt32(9))
            append(UInt32(8))
            append(UInt64(values.count))
            values.forEach { append($0) }
        }
        var texts = self.texts
        texts["tokenizer.ggml.model"] = model
        texts["tokenizer.ggml.pre"] = pre
        append(UInt32(3))
        append(UInt64(0))
        append(UInt64(texts.count + integers.count + 2 + (types == nil ? 0 : 1)))
        for (key, value) in texts.sorted(by: { $0.key < $1.key }) {
            append(key)
            append(UInt32(8))
            append(value)
        }
        for (key, value) in integers.sorted(by: { $0.key < $1.key }) {
            append(key)
            append(UInt32(4))
            append(value)
        }
        strings("tokenizer.ggml.tokens", tokens)
        strings("tokenizer.ggml.merges", merges)
        if let types {
            append("tokenizer.ggml.token_type")
            append(UInt32(9))
            append(UInt32(5))
            append(UInt64(types.count))
            types.forEach { append($0) }
        }
        return bytes
    }

    func file() throws -> GGUFFile { try open(bytes) }
    func tokenizer() throws -> Tokenizer { try Tokenizer(file: file()) }
}

/// Where tests put short-lived files: in memory where the machine offers that, because they make thousands.
private let scratch =
    FileManager.default.isWritableFile(atPath: "/dev/shm")
    ? URL(fileURLWithPath: "/dev/shm") : FileManager.default.temporaryDirectory

/// Opens bytes as a file, which is gone again when this returns: a mapping outlives its name.
func open(_ bytes: [UInt8]) throws -> GGUFFile {
    let url = scratch.appendingPathComponent("deltakv-\(UUID().uuidString).gguf")
    defer { try? FileManager.default.removeItem(at: url) }
    try Data(bytes).write(to: url)
    return try GGUFFile(path: url.path)
}
