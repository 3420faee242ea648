// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import deltakv

@Suite struct UsageTests {
    private let program = Program()

    @Test func helpIsOnStandardOutput() async throws {
        let outcome = try await program.run("--help")
        #expect(outcome.status == 0)
        #expect(outcome.output.contains("daemon"))
        #expect(outcome.errors.isEmpty)
    }

    @Test(arguments: [["nonsense"], ["bench", "--work", "8by4"], ["bench", "--gen", "1"], ["generate"]])
    func wrongUsageExitsWithTwo(arguments: [String]) async throws {
        let outcome = try await program.start(arguments).outcome()
        #expect(outcome.status == 2)
        #expect(outcome.output.isEmpty)
        #expect(!outcome.errors.isEmpty)
    }

    @Test func aMissingModelIsAClearError() async throws {
        let outcome = try await program.run("generate", "--model", "/no/such.gguf", "Hello")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("/no/such.gguf"))
    }

    @Test func aBadSettingNamesItsSource() async throws {
        let outcome = try await Program(environment: ["DELTAKV_KV_MEMORY": "lots"]).run("generate", "Hello")
        #expect(outcome.status == 1)
        #expect(outcome.errors.contains("kv.memory") && outcome.errors.contains("lots"))
    }

    @Test func workloadsAreRead() throws {
        #expect(WorkloadList(argument: "1x4000,8x512")?.workloads.map(\.batch) == [1, 8])
        for bad in ["", "8", "0x4", "ax4", "1x2x3", "1x4,"] { #expect(WorkloadList(argument: bad) == nil) }
        #expect(BenchCommand.defaultWork.workloads.count == 4)
    }
}
