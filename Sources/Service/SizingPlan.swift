// SPDX-License-Identifier: Apache-2.0

import Engine
import Foundation
import Inference
import ModelFiles

/// What memory and disk a daemon needs for contexts of some length, so many at once.
public struct SizingPlan: Sendable, Encodable {
    /// The model's name or path, as asked for.
    public let model: String
    /// Tokens of each context, output included.
    public let contextTokens: Int
    /// Sequences that run at once.
    public let sequences: Int
    /// Form of keys and values.
    public let kvType: String
    /// Bytes of the weights, in the form that jobs run them in.
    public let weightBytes: Int
    /// Bytes of keys and values that a token takes.
    public let kvBytesPerToken: Int
    /// Bytes of keys and values of all sequences, in whole pages: the setting `kv.memory`.
    public let kvBytes: Int
    /// Bytes of activations, logits, the tokenizer and the program itself; reckoned, not measured.
    public let otherBytes: Int
    /// Bytes of memory in all.
    public let memoryBytes: Int
    /// Bytes of memory that are free for programs on this machine.
    public let availableBytes: Int
    /// Bytes of the model's files.
    public let modelFileBytes: Int
    /// Bytes on disk that the contexts of so many documents would take as f16, the measure that caches are compared by.
    public let documentF16Bytes: Int
    /// Documents whose contexts are kept.
    public let documents: Int

    /// Whether this machine has the memory now.
    public var fits: Bool { memoryBytes <= availableBytes }

    /// Reckons.
    ///
    /// - Throws: ``SettingsError`` where the model cannot hold such a context, or `GGUFError` for a bad file.
    public init(settings: Settings, contextTokens: Int?, sequences: Int, documents: Int) throws {
        let path = try ModelStore().path(of: settings.model)
        let file = try ModelFile(path: path), configuration = try ModelConfiguration(file)
        let context = contextTokens ?? configuration.contextLength
        guard (1...configuration.contextLength).contains(context) else {
            throw SettingsError(
                description: "the model's contexts have 1 to \(configuration.contextLength) tokens, not \(context)")
        }
        model = settings.model
        self.contextTokens = context
        self.sequences = sequences
        self.documents = documents
        kvType = "\(settings.engine.kvDataType)"
        weightBytes = LanguageModel.nativeBytes(file)
        let pageBytes = KVPool.pageBytes(configuration: configuration, dataType: settings.engine.kvDataType)
        let bytesInAll = EngineSettings.bytes(ofPage: pageBytes, coded: settings.kvPolicy == .deltakv)
        kvBytesPerToken = bytesInAll / KVPool.pageTokens
        kvBytes = KVPool.pages(forTokens: context) * bytesInAll * sequences
        otherBytes = Self.otherBytes(configuration, rows: settings.engine.rowsPerStep)
        memoryBytes = weightBytes + kvBytes + otherBytes
        availableBytes = MachineFit.availableMemory()
        modelFileBytes = file.size
        let f16Bytes = KVPool.pageBytes(configuration: configuration, dataType: .float16) / KVPool.pageTokens
        documentF16Bytes = documents * context * f16Bytes
    }

    /// Activations of the largest step, with as much again for what layers need inside; and 48 bytes for each token of the
    /// vocabulary and 64 MiB for the program.
    private static func otherBytes(_ c: ModelConfiguration, rows: Int) -> Int {
        let heads = c.heads * c.headDimension, keys = 2 * c.kvHeads * c.headDimension
        let activations = rows * (2 * c.hidden + 2 * heads + keys + 2 * c.feedForward) * MemoryLayout<Float>.size
        let logits = 32 * c.vocabulary * MemoryLayout<Float>.size
        return 2 * activations + logits + 48 * c.vocabulary + 64 << 20
    }

    /// The plan in lines.
    public var text: String {
        let room =
            fits
            ? "this machine has \(formatByteCount(availableBytes)) free: it fits"
            : "this machine has \(formatByteCount(availableBytes)) free: it does NOT fit; fewer sequences, shorter contexts or kv.type int8"
        return """
            \(model): \(sequences) sequences of up to \(contextTokens) tokens at once
              memory  weights              \(formatByteCount(weightBytes))
                      keys and values      \(formatByteCount(kvBytes))   (\(kvBytesPerToken) bytes a token in \(kvType))
                      everything else      \(formatByteCount(otherBytes))   (reckoned)
                      in all               \(formatByteCount(memoryBytes))   \(room)
              disk    the model            \(formatByteCount(modelFileBytes))
                      contexts, as f16     \(formatByteCount(documentF16Bytes))   (\(documents) documents; cache files take a small part of it)
              set     kv.memory: \((kvBytes + (1 << 20) - 1) >> 20)MiB, engine.max_sequences: \(sequences), worker.max_jobs: \(sequences)
            """
    }
}
