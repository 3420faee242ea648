// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Inference

/// The default model against the reference implementation in fp32 on the same dequantised weights.
@Suite struct GoldenTests {
    @Test(arguments: try Golden.all())
    func matchesReference(_ golden: Golden) throws {
        let model = try DefaultModel.get()
        #expect(golden.lastLogits.count == model.configuration.vocabulary)
        var runner = try Runner(model, tokens: golden.prompt.count + 64)
        let logits = try runner.feed(golden.prompt)
        #expect(largestDifference(logits, golden.lastLogits) <= 5e-3)
        #expect(try runner.greedy(after: logits, count: 64) == golden.greedy)
    }

    @Test(arguments: try Golden.all())
    func matchesReferenceInside(_ golden: Golden) throws {
        let model = try DefaultModel.get()
        let runner = try Runner(model, tokens: golden.prompt.count)
        var worst: Float = 0, compared = 0
        for first in stride(from: 0, to: golden.prompt.count, by: 512) {
            let tokens = Array(golden.prompt[first..<min(first + 512, golden.prompt.count)])
            let segment = Segment(tokens: tokens, position: first, pages: runner.pages, wantsLogits: false)
            try runner.pass.runAll([segment]) { _, token, logits in
                guard let index = golden.positions.firstIndex(of: Int32(first + token)) else { return }
                let expected = golden.sample[index * golden.entries.count..<(index + 1) * golden.entries.count]
                worst = max(worst, largestDifference(golden.entries.map { logits[Int($0)] }, expected))
                compared += 1
            }
        }
        #expect(compared == golden.positions.count)
        #expect(worst <= 5e-3)
    }

    /// Half-precision KV moves logits a little and hardly ever a greedy choice.
    @Test func halfPrecisionIsClose() throws {
        let golden = try #require(try Golden.all().dropFirst().first)
        var runner = try Runner(DefaultModel.get(), type: .float16, tokens: golden.prompt.count + 64)
        let logits = try runner.feed(golden.prompt)
        #expect(largestDifference(logits, golden.lastLogits) < 0.1)
        let greedy = try runner.greedy(after: logits, count: 64)
        #expect(zip(greedy, golden.greedy).prefix { $0 == $1 }.count >= 16)
    }
}
