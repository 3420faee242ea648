// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Service

@Suite struct SizingPlanTests {
    private func settings() async throws -> Settings {
        let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("InferenceTests/Golden/architectures/qwen3-yarn-64.gguf").path
        return try await Settings.load(environment: ["DELTAKV_MODEL": model])
    }

    @Test func bytesAddUp() async throws {
        let settings = try await settings()
        let plan = try SizingPlan(settings: settings, contextTokens: 100, sequences: 3, documents: 10)
        let described = try ModelDescription(path: settings.model)
        let perToken = try #require(described.kvBytesPerToken["int8"])
        #expect(plan.kvBytesPerToken == perToken)
        // 100 tokens take two pages of 64.
        #expect(plan.kvBytes == 3 * 128 * perToken)
        #expect(plan.memoryBytes == plan.weightBytes + plan.kvBytes + plan.otherBytes)
        #expect(plan.documentF16Bytes == 10 * 100 * (described.kvBytesPerToken["f16"] ?? 0))
        #expect(plan.modelFileBytes == described.bytes && plan.fits)
    }

    @Test func aContextThatTheModelDoesNotHaveIsRefused() async throws {
        let settings = try await settings()
        #expect(throws: SettingsError.self) {
            try SizingPlan(settings: settings, contextTokens: 4097, sequences: 1, documents: 0)
        }
        #expect(
            try SizingPlan(settings: settings, contextTokens: nil, sequences: 1, documents: 0).contextTokens == 4096)
    }
}
