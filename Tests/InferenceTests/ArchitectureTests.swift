// SPDX-License-Identifier: Apache-2.0
import Foundation
import Kernels
import ModelFiles
import Testing

@testable import Inference

/// Tiny random models of each architecture against transformers in fp32, far beyond the trained length where RoPE is scaled.
@Suite struct ArchitectureTests {
    private static let files = [
        "llama-linear-80", "llama-llama3-64", "llama-256", "qwen2-yarn-96", "qwen3-128", "qwen3-yarn-64",
        "mistral-window-80", "qwen2-window-64",
    ]
    private static let folders =
        files + ["llama-2-16", "smollm2-64"]
    private static let all = files.map { $0 + ".gguf" } + folders

    /// A model, a folder or a GGUF file, and what transformers computed for it.
    private func load(_ name: String, _ form: WeightForm = .float32) throws -> (LanguageModel, ArchitectureGolden) {
        let model = try LanguageModel(ModelFile(path: ArchitectureGolden.path(name)), form: form)
        return (model, try ArchitectureGolden(name.hasSuffix(".gguf") ? String(name.dropLast(5)) : name))
    }

    /// The logits after each position that the golden has.
    private func logits(
        _ model: LanguageModel, _ golden: ArchitectureGolden, type: KVDataType = .float32, chunk: Int = 512,
        threads: Int = 2, set: InstructionSet? = nil
    ) throws -> [Float] {
        let runner = try Runner(model, type: type, tokens: golden.tokens.count, threads: threads, set: set)
        var found: [Float] = []
        for first in stride(from: 0, to: golden.tokens.count, by: chunk) {
            let tokens = Array(golden.tokens[first..<min(first + chunk, golden.tokens.count)])
            let segment = Segment(tokens: tokens, position: first, pages: runner.pages, wantsLogits: false)
            try runner.pass.runAll([segment]) { _, token, logits in
                for k in 0..<4 { found.append(logits[(first + token + 16 * k) % logits.count]) }
            }
        }
        return found
    }

    @Test(arguments: all)
    func agreesWithTheReference(_ name: String) throws {
        let (model, golden) = try load(name)
        #expect(golden.tokens.count >= 2048 && golden.logits.count == 4 * golden.tokens.count)
        #expect(largestDifference(try logits(model, golden), golden.logits) <= 1e-3)
    }

    /// The same bits however a step is cut and on however many threads: biases, norms of heads and windows too.
    @Test(arguments: ["qwen2-yarn-96", "qwen3-128", "mistral-window-80", "qwen2-window-64"], KVDataType.allCases)
    func resultsDoNotDependOnHowTheyAreComputed(_ name: String, _ type: KVDataType) throws {
        let (model, golden) = try load(name)
        let whole = try logits(model, golden, type: type)
        #expect(try logits(model, golden, type: type, chunk: 97, threads: 1) == whole)
    }

    /// A folder and a file of the same model give the same bits.
    @Test(arguments: files)
    func formsOfFilesDoNotMatter(_ name: String) throws {
        let (folder, golden) = try load(name), (file, _) = try load(name + ".gguf")
        // Llama 3.1's factors are divided by once more in a file, in another order.
        guard name != "llama-llama3-64" else { return }
        let both = try (logits(folder, golden), logits(file, golden))
        #expect(both.0 == both.1)
    }

    /// What is read of a window, and that it matters.
    @Test func windowsAreRead() throws {
        let (mistral, golden) = try load("mistral-window-80"), (qwen, _) = try load("qwen2-window-64")
        #expect(mistral.configuration.attentionWindows == [300, 300])
        #expect(qwen.configuration.attentionWindows == [nil, 65, 65])
        #expect(try load("mistral-window-80.gguf").0.configuration.attentionWindows == [300, 300])
        #expect(try load("qwen2-window-64.gguf").0.configuration.attentionWindows == [nil, 65, 65])
        #expect(try load("llama-256").0.configuration.hasSlidingWindow == false)
        #expect(largestDifference(golden.logits.suffix(400), try fullAttention("mistral-window-80").suffix(400)) > 0.1)
    }

    /// The logits of a folder whose configuration says no more of a window.
    private func fullAttention(_ name: String) throws -> [Float] {
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-\(UUID().uuidString)")
        try FileManager.default.copyItem(atPath: ArchitectureGolden.path(name), toPath: copy.path)
        defer { try? FileManager.default.removeItem(at: copy) }
        let url = copy.appendingPathComponent("config.json")
        let text = try String(contentsOf: url, encoding: .utf8)
        let changed = text.replacingOccurrences(of: "\"sliding_window\": 300", with: "\"sliding_window\": null")
        #expect(changed != text)
        try Data(changed.utf8).write(to: url)
        return try logits(LanguageModel(ModelFile(path: copy.path), form: .float32), ArchitectureGolden(name))
    }

    /// F16 weights become Q8_0 blocks: close to fp32, and not the same.
    @Test(arguments: files)
    func convertedWeightsAreClose(_ name: String) throws {
        let (model, golden) = try load(name, .native)
        let found = try logits(model, golden)
        let error = zip(found, golden.logits).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let power = golden.logits.reduce(0) { $0 + $1 * $1 }
        #expect(error > 0 && (error / power).squareRoot() < 0.1)
    }
}

/// What transformers computed for one model; Golden/architectures/make_architectures.py says how it is stored.
private struct ArchitectureGolden {
    let tokens: [Int32]
    /// [position][4]
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
        let count = Int(try #require(words.first))
        tokens = Array(words[1..<1 + count])
        logits = words[(1 + count)...].map { Float(bitPattern: UInt32(bitPattern: $0)) }
    }
}
