// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Inference

/// What jobs run by default, weights in the file's blocks with int8 inputs and int8 keys and values, against the same weights in fp32.
@Suite struct NativeWeightTests {
    /// Text that the model was not made for, tokenised: the longest golden prompt.
    private func text(_ count: Int) throws -> [Int32] {
        let longest = try #require(try Golden.all().max { $0.prompt.count < $1.prompt.count })
        return Array(longest.prompt.prefix(count))
    }

    /// The mean negative log-likelihood of each next token, in nats.
    private func loss(_ form: WeightForm, _ tokens: [Int32]) throws -> Double {
        let runner = try Runner(DefaultModel.get(form), type: form == .native ? .int8 : .float32, tokens: tokens.count)
        var sum = 0.0
        for first in stride(from: 0, to: tokens.count - 1, by: 512) {
            let chunk = Array(tokens[first..<min(first + 512, tokens.count - 1)])
            let segment = Segment(tokens: chunk, position: first, pages: runner.pages, wantsLogits: false)
            try runner.pass.runAll([segment]) { _, index, logits in
                let largest = Double(logits.max() ?? 0)
                let total = logits.reduce(0.0) { $0 + exp(Double($1) - largest) }
                sum += log(total) + largest - Double(logits[Int(tokens[first + index + 1])])
            }
        }
        return sum / Double(tokens.count - 1)
    }

    /// Over so few tokens the rounding of inputs alone moves it by half a percent, one way or the other.
    @Test func perplexityIsThatOfFloat32() throws {
        let tokens = try text(2048)
        let exact = exp(try loss(.float32, tokens)), native = exp(try loss(.native, tokens))
        #expect(abs(native / exact - 1) < 0.01, "perplexity \(native), in fp32 \(exact)")
    }

    /// The same bits whatever the chunks, the threads and the instruction set.
    @Test func resultsDoNotDependOnHowTheyAreComputed() throws {
        let tokens = try text(150)
        let model = try DefaultModel.get(.native)
        var whole = try Runner(model, tokens: 200)
        let expected = try whole.feed(tokens)
        var pieces = try Runner(model, tokens: 200, threads: 1)
        #expect(try pieces.feed(tokens, chunk: 7) == expected)
    }
}
