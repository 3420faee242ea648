// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import Kernels
import ModelFiles
import Tokenization

/// What a model holds and what it needs, for people and programs.
public struct ModelDescription: Sendable, Encodable {
    /// The file or folder.
    public let path: String
    /// `gguf` or `huggingface`.
    public let format: String
    /// Bytes of the files that hold the weights.
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
    /// Elements of a head.
    public let headDimension: Int
    /// Tokens of context.
    public let contextLength: Int
    /// Tokens that a row of a layer attends to at most, where that is less than the context.
    public let slidingWindow: Int?
    /// How rotary frequencies are scaled: `none`, `linear`, `yarn` or `llama3`.
    public let ropeScaling: String
    /// Tokens in the vocabulary.
    public let vocabulary: Int
    /// Bytes of keys and values that one token takes in the cache, by the cache's form (`int8`, the default, `f16`, `f32`).
    public let kvBytesPerToken: [String: Int]
    /// What this machine's memory is and how much fits.
    public let machine: MachineFit?
    /// What the makers advise for sampling (``SamplingAdvice``).
    public let advisedSampling: [String: Double]
    /// Why the model cannot be run, if it cannot.
    public let unsupported: [String]
    /// Why it takes no conversations, and so no jobs, if it takes none.
    public let chatProblem: String?

    /// Reads a model's metadata; the weights are not touched.
    ///
    /// - Throws: `GGUFError` if the file or folder is not a whole model.
    public init(path: String) throws {
        let model = try ModelFile(path: path)
        self.path = path
        bytes = model.size
        tensorTypes = Dictionary(model.tensors.map { ($0.type.name, 1) }, uniquingKeysWith: +)
        parameters = model.tensors.reduce(0) { $0 + $1.elementCount }
        (format, name, architecture) = try Self.identity(model)
        var problems: [String] = []
        func attempt<Value>(_ body: () throws -> Value) -> Value? {
            do { return try body() } catch {
                problems.append("\(error)")
                return nil
            }
        }
        let configuration = attempt { try ModelConfiguration(model) }
        _ = attempt { try LanguageModel.check(model) }
        _ = attempt { try Tokenizer(model) }
        advisedSampling = attempt { try SamplingAdvice(model).values } ?? [:]
        layers = configuration?.layers ?? 0
        heads = configuration?.heads ?? 0
        kvHeads = configuration?.kvHeads ?? 0
        headDimension = configuration?.headDimension ?? 0
        contextLength = configuration?.contextLength ?? 0
        slidingWindow = configuration?.attentionWindows.compactMap(\.self).max()
        ropeScaling = configuration?.ropeScaling.name ?? "unknown"
        vocabulary = configuration?.vocabulary ?? 0
        kvBytesPerToken = configuration.map(Self.cacheBytes) ?? [:]
        machine = configuration.map { MachineFit(model, $0) }
        do {
            _ = try ChatTemplate(model)
            chatProblem = nil
        } catch {
            chatProblem = "\(error)"
        }
        var seen: Set<String> = []
        unsupported = problems.filter { seen.insert($0).inserted }
    }

    private static func cacheBytes(_ configuration: ModelConfiguration) -> [String: Int] {
        let types: [(String, KVDataType)] = [("int8", .int8), ("f16", .float16), ("f32", .float32)]
        return Dictionary(
            uniqueKeysWithValues: types.map { name, type in
                (name, KVPool.pageBytes(configuration: configuration, dataType: type) / KVPool.pageTokens)
            })
    }

    private static func identity(_ model: ModelFile) throws -> (String, String, String) {
        switch model {
        case .gguf(let file):
            return (
                "gguf", try file.metadata.stringIfPresent("general.name") ?? "unnamed",
                try file.metadata.stringIfPresent("general.architecture") ?? "unknown"
            )
        case .folder(let folder):
            let type = folder.configuration["model_type"]?.text ?? "unknown"
            let name = URL(fileURLWithPath: folder.path).standardizedFileURL.lastPathComponent
            return ("huggingface", name, type)
        }
    }
}

extension RotaryScaling {
    fileprivate var name: String {
        switch self {
        case .none: "none"
        case .linear: "linear"
        case .yarn: "yarn"
        case .llama3: "llama3"
        }
    }
}

extension ModelDescription {
    /// Checks that a model can be run and that every weight is a finite number.
    ///
    /// - Returns: The model's SHA-256.
    /// - Throws: The error that says what is wrong with its files.
    public static func verifiedDigest(path: String) throws -> String {
        let model = try ModelFile(path: path)
        _ = try Tokenizer(model)
        _ = try LanguageModel(model)
        for tensor in model.tensors where try !tensor.dequantized().allSatisfy(\.isFinite) {
            throw ModelStoreError("\(path): the tensor '\(tensor.name)' holds values that are not finite numbers")
        }
        return try model.digest()
    }
}
