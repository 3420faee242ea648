// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Service

@Suite struct ModelDescriptionTests {
    private func path(_ name: String) -> String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("InferenceTests/Golden/architectures/\(name)").path
    }

    @Test func aFolderIsDescribed() throws {
        let found = try ModelDescription(path: path("mistral-window-80"))
        #expect(found.format == "huggingface" && found.architecture == "mistral" && found.slidingWindow == 300)
        #expect((found.layers, found.heads, found.kvHeads, found.headDimension) == (2, 5, 1, 80))
        #expect(found.tensorTypes == ["BF16": 21] && found.vocabulary == 64)
        // Two layers, one KV head: keys and values of 80 elements, two scales and a sum.
        #expect(found.kvBytesPerToken == ["int8": 2 * (160 + 4), "f16": 2 * 320, "f32": 2 * 640])
        // It has no tokenizer and no chat template, and says both.
        #expect(found.unsupported.count == 1 && found.text.contains("can be run    no: "))
        #expect(found.chatProblem?.contains("no chat template") == true && found.text.contains("conversations no: "))
    }

    @Test func aFileIsDescribed() throws {
        let found = try ModelDescription(path: path("qwen3-yarn-64.gguf"))
        #expect(found.format == "gguf" && found.architecture == "qwen3" && found.ropeScaling == "yarn")
        #expect(found.slidingWindow == nil && found.contextLength == 4096)
    }

    @Test func whatFits() {
        func fit(_ available: Int) -> MachineFit {
            MachineFit(availableBytes: available, weightBytes: 100_000, tokenBytes: 100, contextLength: 1000)
        }
        #expect(fit(100_000).longestContext == 0 && fit(100_000).text.contains("no room"))
        #expect(fit(200_000).longestContext == 800 && fit(200_000).fullContexts == 0)
        #expect(fit(1_000_000).tokens == 8000 && fit(1_000_000).fullContexts == 8)
        #expect(fit(1_000_000).longestContext == 1000)
    }
}
