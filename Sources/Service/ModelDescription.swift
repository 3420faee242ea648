// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Kernels
import ModelFiles
import Tokenization

/// What a model file holds, for people and programs.
public struct ModelDescription: Sendable, Encodable {
    /// The file.
    public let path: String
    /// The file's size in bytes.
    public let bytes: Int
    /// The name its makers gave it.
    public let name: String
    /// The architecture, such as `llama`.
    public let architecture: String
    /// Weights, in numbers.
    public let parameters: Int
    /// How many tensors there are of each type.
    public let tensorTypes: [String: Int]
    /// Layers.
    public let layers: Int
    /// Query heads of a layer.
    public let heads: Int
    /// KV heads of a layer.
    public let kvHeads: Int
    /// Tokens of context.
    public let contextLength: Int
    /// Tokens in the vocabulary.
    public let vocabulary: Int
    /// Bytes of keys and values that one token takes in the cache, in the default form (int8).
    public let kvBytesPerToken: Int
    /// Why the model cannot be run, if it cannot.
    public let unsupported: String?

    /// Reads a file's metadata; the weights are not touched.
    ///
    /// - Throws: `GGUFError` if the file is not a whole GGUF file.
    public init(path: String) throws {
        let file = try GGUFFile(path: path)
        self.path = path
        bytes = file.size
        name = try file.metadata.stringIfPresent("general.name") ?? "unnamed"
        architecture = try file.metadata.stringIfPresent("general.architecture") ?? "unknown"
        parameters = file.tensors.reduce(0) { $0 + $1.elementCount }
        tensorTypes = Dictionary(file.tensors.map { ($0.type.name, 1) }, uniquingKeysWith: +)
        var problems: [String] = []
        var configuration: ModelConfiguration?
        do { configuration = try ModelConfiguration(file: file) } catch { problems.append("\(error)") }
        do { _ = try Tokenizer(file: file) } catch { problems.append("\(error)") }
        do { _ = try ChatTemplate(file: file) } catch { problems.append("\(error)") }
        layers = configuration?.layers ?? 0
        heads = configuration?.heads ?? 0
        kvHeads = configuration?.kvHeads ?? 0
        contextLength = configuration?.contextLength ?? 0
        vocabulary = configuration?.vocabulary ?? 0
        kvBytesPerToken =
            configuration.map { KVPool.pageBytes(configuration: $0, dataType: .int8) / KVPool.pageTokens } ?? 0
        unsupported = problems.isEmpty ? nil : problems.joined(separator: "; ")
    }

    /// The description in lines.
    public var text: String {
        let types = tensorTypes.sorted { $0.key < $1.key }.map { "\($0.value) x \($0.key)" }.joined(separator: ", ")
        return """
            \(name)
              file          \(path) (\(formatByteCount(bytes)))
              architecture  \(architecture), \(layers) layers, \(heads) query heads, \(kvHeads) KV heads
              parameters    \(parameters / 1_000_000) million (\(types))
              context       \(contextLength) tokens, vocabulary \(vocabulary)
              KV cache      \(kvBytesPerToken) bytes a token in int8, \(formatByteCount(kvBytesPerToken * contextLength)) for a full context
              can be run    \(unsupported.map { "no: " + $0 } ?? "yes")
            """
    }
}

extension ModelDescription {
    /// Checks that a file can be run and that every weight is a finite number.
    ///
    /// - Returns: The file's SHA-256.
    /// - Throws: The error that says what is wrong with the file.
    public static func verifiedDigest(path: String) throws -> String {
        let file = try GGUFFile(path: path)
        _ = try Tokenizer(file: file)
        _ = try ChatTemplate(file: file)
        _ = try LanguageModel(file: file)
        for tensor in file.tensors where try !tensor.dequantized().allSatisfy(\.isFinite) {
            throw ModelStoreError("\(path): the tensor '\(tensor.name)' holds values that are not finite numbers")
        }
        return file.digest()
    }
}
