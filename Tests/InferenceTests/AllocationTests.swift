// SPDX-License-Identifier: Apache-2.0
import AllocationCounter
import Kernels
import Testing

@testable import Inference

@Suite struct AllocationTests {
    /// After the first step, a step that decodes several sequences of unequal lengths asks for no memory.
    @Test(arguments: KVDataType.allCases, [WeightForm.native, .float32])
    func decodingAllocatesNothing(_ type: KVDataType, _ form: WeightForm) throws {
        let model = try DefaultModel.get(form), lengths = [700, 3, 64]
        let pool = try KVPool(configuration: model.configuration, dataType: type, pageCount: 20)
        let pass = try ForwardPass(model: model, pool: pool, threads: ThreadPool(threads: 2), maxRows: 800)
        let tables = try lengths.map { try #require(pool.allocate(KVPool.pages(forTokens: $0 + 8))) }
        let prompts = zip(lengths, tables).map {
            Segment(
                tokens: ids($0, below: model.configuration.vocabulary), position: 0, pages: $1, wantsLogits: true)
        }
        var sum: Float = 0
        try pass.run(prompts) { sum += $1[0] }
        let steps = (0..<4).map { step in
            zip(lengths, tables).map {
                Segment(tokens: [7], position: $0 + step, pages: $1, wantsLogits: true)
            }
        }
        try pass.run(steps[0]) { sum += $1[0] }
        let before = allocation_count()
        for step in steps.dropFirst() { try pass.run(step) { sum += $1[0] } }
        #expect(allocation_count() == before)
        #expect(sum.isFinite)
    }

    /// The counter counts.
    @Test func arraysAreCounted() {
        let before = allocation_count()
        let array = [UInt8](repeating: 1, count: 1000 + Int.random(in: 0...1))
        #expect(allocation_count() > before && array.count >= 1000)
    }
}
