// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import ModelFiles
import Testing

@testable import Inference

/// Tiny random models of each architecture against transformers in fp32, far beyond the trained length where RoPE is scaled.
@Suite struct ArchitectureTests {
    private static let names = [
        "llama-linear-80", "llama-llama3-64", "llama-256", "qwen2-yarn-96", "qwen3-128", "qwen3-yarn-64",
    ]

    private func model(_ name: String, _ form: WeightForm = .float32) throws -> LanguageModel {
        try LanguageModel(file: GGUFFile(path: ArchitectureGolden.path("\(name).gguf")), form: form)
    }

    /// The logits after the golden's positions.
    private func logits(
        _ model: LanguageModel, _ golden: ArchitectureGolden, chunk: Int = 512, threads: Int = 2,
        set: InstructionSet? = nil
    ) throws -> [Float] {
        let runner = try Runner(model, tokens: golden.tokens.count, threads: threads, set: set)
        var found: [Float] = []
        for first in stride(from: 0, to: golden.tokens.count, by: chunk) {
            let tokens = Array(golden.tokens[first..<min(first + chunk, golden.tokens.count)])
            let segment = Segment(tokens: tokens, position: first, pages: runner.pages, wantsLogits: false)
            try runner.pass.runAll([segment]) { _, token, logits in
                if golden.positions.contains(Int32(first + token)) { found += logits }
            }
        }
        return found
    }

    @Test(arguments: names)
    func agreesWithTheReference(_ name: String) throws {
        let golden = try ArchitectureGolden(name)
        let difference = largestDifference(try logits(model(name), golden), golden.logits)
        #expect(golden.logits.count == golden.positions.count * 64 && golden.positions.count > 50)
        #expect(difference <= 1e-3)
    }

    /// The same bits however a step is cut and on however many threads: biases and norms of heads too.
    @Test(arguments: ["qwen2-yarn-96", "qwen3-128"])
    func resultsDoNotDependOnHowTheyAreComputed(_ name: String) throws {
        let golden = try ArchitectureGolden(name), model = try model(name)
        let whole = try logits(model, golden)
        #expect(try logits(model, golden, chunk: 97, threads: 1) == whole)
    }

    /// F16 weights become Q8_0 blocks: close to fp32, and not the same.
    @Test(arguments: names)
    func convertedWeightsAreClose(_ name: String) throws {
        let golden = try ArchitectureGolden(name)
        let found = try logits(model(name, .native), golden)
        let error = zip(found, golden.logits).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let power = golden.logits.reduce(0) { $0 + $1 * $1 }
        #expect(error > 0 && (error / power).squareRoot() < 0.1)
    }
}

/// What transformers computed for one model; Golden/architectures/make_architectures.py says how it is stored.
private struct ArchitectureGolden {
    let tokens: [Int32]
    let positions: [Int32]
    /// [positions][64]
    let logits: [Float]

    static func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("Golden/architectures/\(name)").path
    }

    init(_ name: String) throws {
        let data = try Data(contentsOf: URL(fileURLWithPath: Self.path("\(name).logits")))
        let words = data.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self) }
        }
        let tokenCount = Int(try #require(words.first))
        let positionCount = Int(words[1 + tokenCount])
        tokens = Array(words[1..<1 + tokenCount])
        positions = Array(words[2 + tokenCount..<2 + tokenCount + positionCount])
        logits = words[(2 + tokenCount + positionCount)...].map { Float(bitPattern: UInt32(bitPattern: $0)) }
    }
}
