// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Inference

/// A sequence's logits are the same bits however it is computed.
@Suite struct IndependenceTests {
    @Test(arguments: KVDataType.allCases)
    func chunksDoNotMatter(_ type: KVDataType) throws {
        let model = try DefaultModel.get()
        let prompt = ids(700, below: model.configuration.vocabulary)
        var whole = try Runner(model, type: type, tokens: 700, maxRows: 700)
        let expected = try whole.feed(prompt, chunk: 700)
        for (chunk, threads) in [(512, 1), (97, 3)] {
            var runner = try Runner(model, type: type, tokens: 700, threads: threads)
            #expect(try runner.feed(prompt, chunk: chunk).map(\.bitPattern) == expected.map(\.bitPattern))
        }
    }

    /// An output's tokens attend to a part of what is before them by where they are, not by how they are computed: one by one as they
    /// are chosen, or together when an output is resumed.
    @Test func sparseRowsDoNotDependOnChunks() throws {
        let model = try DefaultModel.get(.native)
        let tokens = ids(420, below: model.configuration.vocabulary)
        let sparse = SparseAttention(share: 0.3, least: 150)
        func logits(_ pieces: [Range<Int>], sparseFrom: Int, threads: Int = 2) throws -> [UInt32] {
            var runner = try Runner(model, type: .int8, tokens: 420, threads: threads, sparse: sparse)
            var last: [Float] = []
            for piece in pieces { last = try runner.feed(Array(tokens[piece]), sparseFrom: sparseFrom) }
            return last.map(\.bitPattern)
        }
        let one = try logits([0..<400] + (400..<420).map { $0..<$0 + 1 }, sparseFrom: 400)
        for pieces in [[0..<420], [0..<390, 390..<410, 410..<420], [0..<400, 400..<420]] {
            #expect(try logits(pieces, sparseFrom: 400, threads: 3) == one)
        }
        // It is another computation than full attention, and where it begins matters.
        #expect(try logits([0..<420], sparseFrom: .max) != one)
        #expect(try logits([0..<420], sparseFrom: 410) != one)
    }

    /// Prefill chunks and decodes of several sequences in one step, pages in arbitrary order, a prefix shared.
    @Test(arguments: KVDataType.allCases)
    func companyDoesNotMatter(_ type: KVDataType) throws {
        let model = try DefaultModel.get()
        let vocabulary = model.configuration.vocabulary
        let prompts = [
            ids(130, below: vocabulary), ids(64, below: vocabulary, seed: 2), ids(1, below: vocabulary, seed: 3),
        ]
        let next: [Int32] = [5, 6, 7]
        var alone: [[UInt32]] = []
        for (prompt, token) in zip(prompts, next) {
            var runner = try Runner(model, type: type, tokens: 192)
            _ = try runner.feed(prompt)
            alone.append(try runner.feed([token]).map(\.bitPattern))
        }
        let pool = try KVPool(configuration: model.configuration, dataType: type, pageCount: 12)
        let pass = try ForwardPass(model: model, pool: pool, threads: ThreadPool(threads: 2), maxRows: 256)
        let all = Array(try #require(pool.allocate(12)).reversed())
        let tables = [Array(all[0..<3]), Array(all[3..<6]), Array(all[6..<9]), Array(all[0..<2] + all[9..<10])]
        var together: [Int: [UInt32]] = [:]
        let steps: [[Segment]] = [
            [
                Segment(tokens: Array(prompts[0][..<90]), position: 0, pages: tables[0], wantsLogits: false),
                Segment(tokens: prompts[1], position: 0, pages: tables[1], wantsLogits: true),
            ],
            [
                Segment(tokens: Array(prompts[2]), position: 0, pages: tables[2], wantsLogits: false),
                Segment(tokens: [next[1]], position: 64, pages: tables[1], wantsLogits: true),
                Segment(tokens: Array(prompts[0][90...]), position: 90, pages: tables[0], wantsLogits: false),
            ],
            [
                Segment(tokens: [next[0]], position: 130, pages: tables[0], wantsLogits: true),
                Segment(tokens: [next[2]], position: 1, pages: tables[2], wantsLogits: true),
                // The last page of its own, the first two shared with the first sequence.
                Segment(
                    tokens: Array(prompts[0][128...]) + [next[0]], position: 128, pages: tables[3], wantsLogits: true),
            ],
        ]
        try pass.run(steps[0]) { _, _ in }
        try pass.run(steps[1]) { together[$0] = $1.map(\.bitPattern) }
        #expect(together == [1: alone[1]])
        try pass.run(steps[2]) { together[$0] = $1.map(\.bitPattern) }
        #expect(together == [0: alone[0], 1: alone[2], 2: alone[0]])
    }

    @Test func allLogitsAgreeWithLast() throws {
        let model = try TinyModel().load()
        let prompt = ids(70, below: model.configuration.vocabulary)
        let all = try Runner(model, tokens: 70)
        var rows: [[UInt32]] = []
        try all.pass.runAll([Segment(tokens: prompt, position: 0, pages: all.pages, wantsLogits: false)]) {
            #expect($0 == 0 && $1 == rows.count)
            rows.append($2.map(\.bitPattern))
        }
        for count in [1, 64, 70] {
            var runner = try Runner(model, tokens: 70)
            #expect(try runner.feed(Array(prompt[..<count])).map(\.bitPattern) == rows[count - 1])
        }
    }

    /// Calibration changes a layer's rows of what came before and takes a step again from that layer on.
    @Test func aStepTakenAgainFromALayerIsTheWholeStep() throws {
        let model = try TinyModel().load(), c = model.configuration
        let history = ids(64, below: c.vocabulary), after = ids(40, below: c.vocabulary, seed: 2)
        let columns = 2 * c.kvHeads * c.headDimension, layer = c.layers - 1
        func logits(_ runner: Runner, _ trail: ResidualTrail? = nil, from first: Int? = nil) throws -> [[UInt32]] {
            var rows: [[UInt32]] = []
            let step = Segment(tokens: after, position: 64, pages: runner.pages, wantsLogits: false)
            try runner.pass.runAll([step], every: 3, trail: trail, from: first) { rows.append($2.map(\.bitPattern)) }
            return rows
        }
        func changed() throws -> Runner {
            var runner = try Runner(model, tokens: 128)
            _ = try runner.feed(history)
            return runner
        }
        func change(_ runner: Runner) {
            var rows = (0..<64 * columns).map { Float($0 % 7) - 3 }
            rows.withUnsafeMutableBufferPointer { rows in
                let matrix = Matrix(rows.baseAddress.unsafelyUnwrapped, rows: 64, columns: columns)
                _ = runner.pass.store(matrix, layer: layer, position: 0, pages: runner.pages)
            }
        }
        let whole = try changed()
        let exact = try logits(whole)
        change(whole)
        let expected = try logits(whole)
        let again = try changed(), trail = try ResidualTrail(c, rows: after.count)
        #expect(try logits(again, trail) == exact && exact.count == 14)
        change(again)
        #expect(try logits(again, trail, from: layer) == expected && expected != exact)
    }
}
