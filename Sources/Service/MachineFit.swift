// SPDX-License-Identifier: Apache-2.0

import Foundation
import Inference
import ModelFiles

/// How much of a model's work this machine's memory holds.
public struct MachineFit: Sendable, Encodable {
    /// Bytes of memory that are free for programs now, or that the machine has where it does not say.
    public let availableBytes: Int
    /// Bytes that the weights will take, in the form that jobs run them in.
    public let weightBytes: Int
    /// Tokens of keys and values in int8 that fit beside the weights, of all sequences together.
    public let tokens: Int
    /// The longest context of one sequence: ``tokens``, or the model's own limit.
    public let longestContext: Int
    /// Sequences of the model's full context that fit at once.
    public let fullContexts: Int

    init(_ model: ModelFile, _ configuration: ModelConfiguration) {
        self.init(
            availableBytes: Self.availableMemory(), weightBytes: LanguageModel.nativeBytes(model),
            tokenBytes: KVPool.pageBytes(configuration: configuration, dataType: .int8) / KVPool.pageTokens,
            contextLength: configuration.contextLength)
    }

    init(availableBytes: Int, weightBytes: Int, tokenBytes: Int, contextLength: Int) {
        self.availableBytes = availableBytes
        self.weightBytes = weightBytes
        // A tenth stays for activations, the tokenizer and other programs.
        tokens = max(0, availableBytes / 10 * 9 - weightBytes) / max(1, tokenBytes)
        longestContext = min(tokens, contextLength)
        fullContexts = tokens / max(1, contextLength)
    }

    /// `MemAvailable` of `/proc/meminfo`.
    static func availableMemory() -> Int {
        let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        let kibibytes = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return kibibytes.map { $0 * 1024 } ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
    }

    var text: String {
        let room = "\(formatByteCount(availableBytes)) available, weights take \(formatByteCount(weightBytes))"
        if longestContext == 0 { return "\(room): there is no room for a context" }
        if fullContexts == 0 { return "\(room): a context of up to \(longestContext) tokens fits" }
        return "\(room): \(fullContexts) full contexts fit (\(tokens) tokens)"
    }
}
