// SPDX-License-Identifier: Apache-2.0
import Kernels
import ModelFiles

/// The shape of a transformer, as a model's files describe it. Every value is within bounds that keep arithmetic on it safe;
/// that the weights have these shapes is checked when they are loaded.
public struct ModelConfiguration: Sendable, Equatable {
    /// The family that the model belongs to.
    public let architecture: Architecture
    /// Transformer layers.
    public let layers: Int
    /// Elements of the residual stream.
    public let hidden: Int
    /// Query heads of a layer.
    public let heads: Int
    /// KV heads of a layer; divides ``heads``.
    public let kvHeads: Int
    /// Elements of a head.
    public let headDimension: Int
    /// Elements of the feed-forward layer.
    public let feedForward: Int
    /// Tokens of the vocabulary (rows of the token embedding).
    public let vocabulary: Int
    /// Tokens of the longest context that the model is made for.
    public let contextLength: Int
    /// Added to the mean square in RMS normalisation.
    public let rmsEpsilon: Float
    /// Base of the rotary embedding's wavelengths.
    public let ropeTheta: Float
    /// How rotary frequencies are scaled.
    public let ropeScaling: RotaryScaling
    /// Of each layer, how many tokens a row attends to, itself among them (Mistral's sliding window, arXiv 2310.06825);
    /// nil: to all before it.
    public let attentionWindows: [Int?]
    /// Whether the output head is the token embedding.
    public let tiesEmbedding: Bool
}

extension ModelConfiguration {
    /// Reads and checks the configuration of a model in any form.
    ///
    /// - Throws: ``InferenceError`` for what is unsupported or out of bounds, `GGUFError` for missing or mistyped keys.
    public init(_ model: ModelFile) throws {
        switch model {
        case .gguf(let file): try self.init(file: file)
        case .folder(let folder): try self.init(folder: folder)
        }
    }

    /// Whether a layer's rows do not attend to all before them.
    public var hasSlidingWindow: Bool { attentionWindows.contains { $0 != nil } }

    /// The windows of layers that differ from full attention in a context of `contextLength`.
    static func windows(_ window: Int?, contextLength: Int, layers: Int, where slides: (Int) -> Bool = { _ in true })
        -> [Int?]
    {
        // A window that no context outgrows changes nothing.
        guard let window, window < contextLength else { return Array(repeating: nil, count: layers) }
        return (0..<layers).map { slides($0) ? window : nil }
    }

    /// Checks what is between values, under the names that the file gives them.
    func check(heads headsKey: String, kvHeads kvHeadsKey: String, theta thetaKey: String) throws(InferenceError) {
        guard heads % kvHeads == 0 else {
            throw InferenceError.invalidConfiguration(
                key: kvHeadsKey, reason: "\(kvHeads) does not divide \(heads) query heads")
        }
        guard heads / kvHeads <= KVLayout.largestGroup else {
            throw InferenceError.unsupportedFeature("\(heads / kvHeads) query heads on one KV head")
        }
        guard headDimension % KVLayout.headDimensionStep == 0, headDimension <= KVLayout.largestHeadDimension else {
            throw InferenceError.unsupportedFeature("a head dimension of \(headDimension)")
        }
        if case .yarn = ropeScaling, ropeTheta <= 1 {
            throw InferenceError.invalidConfiguration(key: thetaKey, reason: "\(ropeTheta) is not above 1")
        }
    }

    /// A head's elements where the file does not say it: the hidden state is cut evenly.
    static func evenHead(hidden: Int, heads: Int, key: String) throws(InferenceError) -> Int {
        guard hidden % heads == 0 else {
            throw InferenceError.invalidConfiguration(
                key: key, reason: "\(heads) does not divide the embedding length \(hidden)")
        }
        return hidden / heads
    }

    /// Bounds of values that any file may give.
    enum Bounds {
        static let layers = 1...1024
        static let hidden = 1...65536
        static let heads = 1...1024
        static let headDimension = 1...4096
        static let feedForward = 1...(1 << 20)
        static let contextLength = 1...(1 << 24)
        static let vocabulary = 1...(1 << 22)
    }
}
