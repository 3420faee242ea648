// SPDX-License-Identifier: Apache-2.0

import Evaluation
import Foundation
import Testing

@testable import deltakv

@Suite struct EvalTests {
    private let program = Program()

    private func file(_ name: String, _ text: String) throws -> String {
        let path = NSTemporaryDirectory() + "deltakv-\(UUID().uuidString)-\(name)"
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return path
    }

    /// The contract: one line of JSON for each policy with these fields; a plot; a line of progress for each pass.
    @Test func linesOfJSONHaveTheirFields() async throws {
        let words = (0..<400).map { "Line \($0) of the text says that \($0 * 7) is a number." }.joined(separator: "\n")
        let text = try file("text.txt", words), plot = try file("plot.svg", "")
        let records = try file(
            "records.jsonl",
            #"{"context": "Ann lives in Rome.", "input": "Where?", "answers": ["Rome"], "dataset": "qasper"}"#)
        defer { for path in [text, plot, records] { try? FileManager.default.removeItem(atPath: path) } }
        let outcome = try await program.run(
            "eval", "--json", "--policy", "f16,kivi-int2", "--history", "192,256", "--score", "32", "--text", text,
            "--retrieval-questions", "10", "--longbench", records, "--plot", plot)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = try outcome.output.split(separator: "\n").map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(lines.map { $0["policy"] as? String } == ["f16", "kivi-int2"])
        for line in lines {
            for field in [
                "kv_ratio", "kv_ratio_disk", "ppl", "ppl_exact", "kl", "kl_stderr", "top1_agreement", "retrieval",
                "retrieval_exact", "retrieval_stderr", "retrieval_loglik", "retrieval_loglik_exact", "tracing",
                "tracing_exact",
            ] {
                #expect((line[field] as? Double)?.isFinite == true, "\(field)")
            }
            #expect(line["history"] as? [Int] == [192, 256] && line["tokens"] as? Int == 64)
            #expect((line["documents"] as? [String])?.first?.hasSuffix("text.txt") == true)
            #expect((line["by_history"] as? [[String: Any]])?.map { $0["history"] as? Int } == [192, 256])
            #expect((line["longbench"] as? [String: [String: Any]])?["qasper"]?["records"] as? Int == 1)
        }
        let ratios = lines.compactMap { $0["kv_ratio"] as? Double }
        #expect(ratios[0] == 1 && ratios[1] < 0.8)
        #expect(try String(contentsOfFile: plot, encoding: .utf8).contains("kivi-int2"))
        #expect(outcome.errors.split(separator: "\n").count == 5 + 3 + 3)
    }

    /// The paper's compressors from calibration to a table, in the published layout.
    @Test func papersCompressorsAreMadeAndMeasured() async throws {
        let words = (0..<420).map { "Line \($0) of the text says that \($0 * 7) is a number." }.joined(separator: "\n")
        let text = try file("text.txt", words), folder = NSTemporaryDirectory() + "deltakv-\(UUID().uuidString).paper"
        defer { for path in [text, folder] { try? FileManager.default.removeItem(atPath: path) } }
        let calibration = try await program.run(
            "calibrate", "--codec", "paper", "--text", text, "--output", folder, "--latent", "64", "--json")
        #expect(calibration.status == 0, "\(calibration.errors)")
        #expect(calibration.output.split(separator: "\n").count == 30)
        let name = ((folder as NSString).lastPathComponent as NSString).deletingPathExtension
        let outcome = try await program.run(
            "eval", "--json", "--policy", "paper=\(folder),paper-all-s20=\(folder)", "--history", "384", "--score",
            "32", "--text", text, "--retrieval-questions", "0")
        #expect(outcome.status == 0, "\(outcome.errors)")
        let lines = try outcome.output.split(separator: "\n").map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(lines.map { $0["policy"] as? String } == ["paper=\(name)", "paper-all-s20=\(name)"])
        let ratios = lines.compactMap { $0["kv_ratio"] as? Double }, kl = lines.compactMap { $0["kl"] as? Double }
        #expect(ratios.count == 2 && ratios[1] < ratios[0] && ratios[0] < 0.6)
        #expect(kl.count == 2 && kl.allSatisfy { $0 > 0 && $0 < 1 })
        // Weights of another model are refused by name.
        let config = folder + "/config.json", json = try String(contentsOfFile: config, encoding: .utf8)
        try json.replacing(/"deltakv_model_sha256" : "./) { _ in "\"deltakv_model_sha256\" : \"x" }
            .write(toFile: config, atomically: true, encoding: .utf8)
        let other = try await program.run("eval", "--policy", "paper=\(folder)", "--text", text, "--history", "192")
        #expect(other.status == 1 && other.errors.contains("made for another model"), "\(other.errors)")
        let missing = try await program.run("eval", "--policy", "deltakv=/no/such.deltakv", "--text", text)
        #expect(missing.status == 1 && missing.errors.contains("/no/such.deltakv"), "\(missing.errors)")
    }

    @Test(arguments: [
        ["--latent", "64"], ["--codec", "paper", "--latent", "0"], ["--codec", "odd"], ["--tokens", "100"],
    ])
    func wrongUsageOfCalibrateExitsWithTwo(arguments: [String]) async throws {
        let outcome = try await program.start(["calibrate"] + arguments).outcome()
        #expect(outcome.status == 2 && outcome.output.isEmpty && !outcome.errors.isEmpty)
    }

    @Test(arguments: [
        ["--policy", "nonsense"], ["--policy", "paper-x"], ["--policy", "kivi-int9"], ["--history", "0"],
        ["--history", "a"], ["--score", "0"], ["--documents", "0"],
        ["--retrieval-questions", "-1"], ["--perplexity", "1"],
    ])
    func wrongUsageExitsWithTwo(arguments: [String]) async throws {
        let outcome = try await program.start(["eval"] + arguments).outcome()
        #expect(outcome.status == 2 && outcome.output.isEmpty && !outcome.errors.isEmpty)
    }

    /// What jobs use costs little against fp32, and something: the two are not the same computation.
    @Test func perplexityComparesForms() async throws {
        let words = (0..<200).map { "Line \($0) of the text says that \($0 * 7) is a number." }.joined(separator: "\n")
        let text = try file("text.txt", words)
        defer { try? FileManager.default.removeItem(atPath: text) }
        func measure(_ options: String...) async throws -> [Double] {
            let outcome = try await program.start(["eval", "--json", "--perplexity", "600", "--text", text] + options)
                .outcome()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try outcome.output.split(separator: "\n").map {
                let line = try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
                #expect(line["tokens"] as? Int == 599)
                return try #require(line["perplexity"] as? Double)
            }
        }
        let exact = try await measure("--weights", "float32", "--kv-type", "f32"), usual = try await measure()
        #expect(exact.count == 2 && exact[0] == exact[1] && usual != exact)
        #expect(abs(usual[0] / exact[0] - 1) < 0.05, "\(usual) against \(exact)")
    }

    @Test func aMissingTextIsNamed() async throws {
        let outcome = try await program.run("eval", "--text", "/no/such.txt")
        #expect(outcome.status == 2 && outcome.errors.contains("/no/such.txt"))
    }

    @Test func tablesAreAligned() {
        let text = EvaluationTable.aligned([["policy", "KL"], ["f16", "0.1"], ["kivi-int4", "12"]])
        #expect(text == "policy      KL\nf16        0.1\nkivi-int4   12\n")
    }

    @Test func theBarShowsWhatIsLeft() {
        var bar = ProgressBar(steps: 4)
        bar.next("first")
        bar.next("second")
        #expect(bar.line("second", seconds: 10) == "[######------------------] 1 of 4: second, about 30 s left")
    }
}
