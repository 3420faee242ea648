// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import ModelFiles
import Testing

@testable import Inference

/// The default model, loaded once for all tests.
enum DefaultModel {
    /// Weights in fp32, for comparison with the reference.
    static let model: Result<LanguageModel, any Error> = Result {
        try LanguageModel(file: GGUFFile(path: path), form: .float32)
    }

    /// Weights as jobs run them.
    static let nativeModel: Result<LanguageModel, any Error> = Result {
        try LanguageModel(file: GGUFFile(path: path), form: .native)
    }

    static var path: String {
        let environment = ProcessInfo.processInfo.environment
        return environment["DELTAKV_TEST_MODEL"]
            ?? NSHomeDirectory() + "/.cache/deltakv/models/smollm2-135m-instruct-q4_1.gguf"
    }

    static func get(_ form: WeightForm = .float32) throws -> LanguageModel {
        guard FileManager.default.fileExists(atPath: path) else {
            throw Missing(description: "No test model at \(path): run ops/test, which fetches it.")
        }
        return try form == .float32 ? model.get() : nativeModel.get()
    }

    struct Missing: Error, CustomStringConvertible {
        let description: String
    }
}

/// A sequence of its own pool and forward pass, fed in chunks.
struct Runner {
    let pass: ForwardPass
    var pages: [PageID] = []
    var position = 0

    init(
        _ model: LanguageModel, type: KVDataType = .float32, tokens: Int, threads: Int = 2, maxRows: Int = 512,
        set: InstructionSet? = nil, sparse: SparseAttention? = nil
    ) throws {
        let count = KVPool.pages(forTokens: tokens)
        let pool = try KVPool(configuration: model.configuration, dataType: type, pageCount: count)
        pass = try ForwardPass(
            model: model, pool: pool, threads: ThreadPool(threads: threads), maxRows: maxRows, instructionSet: set,
            sparse: sparse)
        pages = try #require(pool.allocate(count))
    }

    /// Feeds tokens in chunks and returns the logits after the last.
    mutating func feed(_ tokens: [Int32], chunk: Int = 512, sparseFrom: Int = .max) throws -> [Float] {
        var last: [Float] = []
        for first in stride(from: 0, to: tokens.count, by: chunk) {
            let piece = Array(tokens[first..<min(first + chunk, tokens.count)])
            let segment = Segment(
                tokens: piece, position: position, pages: pages, wantsLogits: first + chunk >= tokens.count,
                sparseFrom: sparseFrom)
            try pass.run([segment]) { last = Array($1) }
            position += piece.count
        }
        return last
    }

    /// Continues greedily after given logits.
    mutating func greedy(after logits: [Float], count: Int) throws -> [Int32] {
        var tokens = [argmax(logits)]
        while tokens.count < count { tokens.append(argmax(try feed([tokens[tokens.count - 1]]))) }
        return tokens
    }
}

func argmax(_ logits: [Float]) -> Int32 {
    Int32(logits.indices.max { logits[$0] < logits[$1] } ?? -1)
}

func largestDifference(_ a: some Sequence<Float>, _ b: some Sequence<Float>) -> Float {
    zip(a, b).reduce(0) { worst, pair in
        let difference = abs(pair.0 - pair.1)
        return difference.isNaN ? .infinity : max(worst, difference)
    }
}

/// Token ids without meaning, the same every time.
func ids(_ count: Int, below vocabulary: Int, seed: UInt32 = 1) -> [Int32] {
    var x = seed
    return (0..<count).map { _ in
        x = x &* 1_664_525 &+ 1_013_904_223
        return Int32(x >> 8) % Int32(vocabulary)
    }
}
