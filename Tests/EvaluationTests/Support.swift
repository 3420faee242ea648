// SPDX-License-Identifier: Apache-2.0
import Foundation
import Inference
import Kernels
import ModelFiles
import Testing
import Tokenization

@testable import Evaluation

/// The default model, loaded once for all tests.
struct TestModel: Sendable {
    let model: LanguageModel
    let tokenizer: Tokenizer
    let template: ChatTemplate

    private static let shared = Result { try TestModel() }

    static func load() throws -> TestModel { try shared.get() }

    private init() throws {
        let path =
            ProcessInfo.processInfo.environment["DELTAKV_TEST_MODEL"]
            ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
        try #require(
            FileManager.default.fileExists(atPath: path), "No test model at \(path): run ops/test, which fetches it.")
        let file = try GGUFFile(path: path)
        model = try LanguageModel(file: file, form: .float32)
        tokenizer = try Tokenizer(file: file)
        template = try ChatTemplate(file: file)
    }

    func runner() throws -> HistoryRunner { try HistoryRunner(model: model, threads: ThreadPool(threads: 2)) }

    /// Tokens of sentences in some order.
    func text(_ count: Int, seed: UInt64 = 1) -> [Int32] {
        var random = SeededGenerator(seed: seed), tokens: [Int32] = []
        while tokens.count < count {
            tokens += tokenizer.encode(" " + RetrievalText.filler[random.below(RetrievalText.filler.count)])
        }
        return Array(tokens.prefix(count))
    }
}

extension CacheShape {
    static let small = CacheShape(layers: 2, heads: 6, kvHeads: 3, headDimension: 64)
}

/// A history of random rows.
func randomHistory(_ shape: CacheShape, tokens: Int, seed: UInt64 = 1) throws -> History {
    var random = SeededGenerator(seed: seed)
    let recorder = try HistoryRecorder(shape: shape, ends: [tokens])
    for layer in 0..<shape.layers {
        for row in 0..<tokens {
            let values = recorder.rows(layer: layer)[row: row]
            // Channels of different size and mean, as keys have.
            for i in values.indices {
                values[i] = Float.random(in: -1...1, using: &random) * Float(i % 7 + 1) + Float(i % 3)
            }
        }
    }
    return recorder.history(of: Array(repeating: 0, count: tokens)[...])
}

/// A layer's rows as they come back from a compressed history.
func restored(_ compressed: CompressedHistory, of history: History, layer: Int) -> [[Float]] {
    let exact = history.rows(layer: layer)
    let copy = UnsafeMutablePointer<Float>.allocate(capacity: exact.rows * exact.columns)
    defer { copy.deallocate() }
    copy.update(from: exact.base, count: exact.rows * exact.columns)
    let rows = Matrix(copy, rows: exact.rows, columns: exact.columns)
    compressed.restore?(layer, rows)
    return (0..<rows.rows).map { Array(rows[row: $0]) }
}
