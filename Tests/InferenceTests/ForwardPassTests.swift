// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Inference

@Suite struct ForwardPassTests {
    /// Every instruction set computes the same model.
    @Test(arguments: InstructionSet.supported, KVDataType.allCases)
    func instructionSetsAgree(_ set: InstructionSet, _ type: KVDataType) throws {
        let model = try TinyModel().load()
        let prompt = ids(150, below: model.configuration.vocabulary)
        var reference = try Runner(model, tokens: 150, set: .scalar)
        var runner = try Runner(model, type: type, tokens: 150, set: set)
        let tolerance: Float = [.float32: 1e-5, .float16: 2e-3, .int8: 2e-2][type] ?? 0
        #expect(largestDifference(try runner.feed(prompt, chunk: 60), try reference.feed(prompt)) < tolerance)
    }

    @Test func refusesBadSegments() throws {
        let model = try TinyModel().load()
        let runner = try Runner(model, tokens: 256, maxRows: 100)
        let other = try KVPool(configuration: model.configuration, dataType: .float32, pageCount: 9)
        let foreign = try #require(other.allocate(9)).suffix(4)
        let good = Segment(tokens: [1, 2], position: 0, pages: runner.pages, wantsLogits: true)
        func change(_ body: (inout Segment) -> Void) -> [Segment] {
            var bad = good
            body(&bad)
            return [good, bad]
        }
        let cases = [
            change { $0.tokens = [] }, change { $0.tokens = [1, 50] }, change { $0.tokens = [-1] },
            change { $0.position = -1 }, change { $0.position = 255 }, change { $0.position = .max },
            change { $0.pages = [] },
            change {
                $0.position = 63; $0.pages = Array($0.pages.prefix(1))
            },
            change { $0.pages = Array(foreign) },
        ]
        for segments in cases {
            let error = #expect(throws: InferenceError.self) { try runner.pass.run(segments) { _, _ in } }
            guard case .invalidSegment(index: 1, _) = error else {
                Issue.record("\(String(describing: error)) instead of an invalid segment")
                continue
            }
        }
        let long = Segment(tokens: ids(101, below: 50), position: 0, pages: runner.pages, wantsLogits: false)
        #expect(throws: InferenceError.tooManyRows(101, limit: 100)) { try runner.pass.run([long]) { _, _ in } }
        try runner.pass.run([]) { _, _ in Issue.record("logits of nothing") }
    }

    @Test func reportsOverflow() throws {
        var tiny = TinyModel()
        let head = try #require(tiny.tensors["output.weight"])
        tiny.tensors["output.weight"] = (head.shape, head.values.map { _ in 3e38 })
        var runner = try Runner(tiny.load(), tokens: 64)
        #expect(throws: InferenceError.nonFiniteLogits(segment: 0)) { try runner.feed([1, 2, 3]) }
    }

    @Test func poolHandsOutEveryPageOnce() throws {
        let pool = try KVPool(configuration: TinyModel().load().configuration, dataType: .float16, pageCount: 10)
        #expect(pool.pageBytes == 2 * 2 * 2 * 64 * 16 * 2)
        let first = try #require(pool.allocate(6))
        #expect(pool.freePages == 4 && pool.allocate(5) == nil)
        pool.release(Array(first[2..<4]))
        let second = try #require(pool.allocate(6))
        #expect(pool.freePages == 0 && pool.allocate(1) == nil && pool.allocate(0) == [])
        let inUse = Set(first[..<2] + first[4...] + second)
        #expect(inUse.count == 10)
        pool.release(Array(inUse))
        #expect(pool.freePages == 10)
    }

    /// Only free slabs lose what is in them, and only as many as asked; they are the last to be handed out again.
    @Test func freeSlabsGiveTheirMemoryBack() throws {
        let pool = try KVPool(configuration: TinyModel().load().configuration, dataType: .float16, pageCount: 72)
        let pages = try #require(pool.allocate(64))
        func byte(_ page: PageID) -> UnsafeMutablePointer<CChar>? {
            pool.place(of: page).map { $0.slab + Int($0.index + 1) * pool.pageBytes - 1 }
        }
        for page in pages { byte(page)?.pointee = 7 }
        func bare() -> [PageID] { pages.filter { byte($0)?.pointee == 0 } }
        // A page of the second slab is still in use.
        pool.release(pages[17...])
        #expect(pool.backedPages == 64 && pool.freePages == 55)
        pool.discard(downTo: 48)
        #expect(pool.backedPages == 48 && bare() == Array(pages[48...]))
        pool.discard(downTo: 0)
        #expect(pool.backedPages == 32 && bare() == Array(pages[32...]))
        #expect(pool.allocate(15) == Array(pages[17..<32]) && pool.backedPages == 32)
        let rest = try #require(pool.allocate(40))
        #expect(pool.backedPages == 72 && Set(rest).isSuperset(of: pages[32...]) && pool.allocate(1) == nil)
    }

    @Test(arguments: [0, -1, Int(Int32.max) + 1, .max])
    func poolSizeIsBounded(_ pages: Int) throws {
        let configuration = try TinyModel().load().configuration
        #expect(throws: InferenceError.invalidPageCount(pages)) {
            try KVPool(configuration: configuration, dataType: .float32, pageCount: pages)
        }
    }
}
