// SPDX-License-Identifier: Apache-2.0
import Kernels
import Testing

@testable import Evaluation

@Suite struct PolicyTests {
    /// 1,000 tokens of 2 layers with rows of 384: 8 + 128 stay exact of each policy that compresses.
    private let exact = 1000 * 2 * 384 * 2

    @Test func bytesByHand() throws {
        let history = try randomHistory(.small, tokens: 1000)
        func bytes(_ policy: any CachePolicy) throws -> CacheBytes { try policy.compress(history).bytes }
        #expect(history.exactBytes == exact)
        #expect(try bytes(HalfPolicy()) == CacheBytes(memory: exact))
        // 864 tokens: six heads of K and V, 64 codes and an f16 scale each.
        #expect(try bytes(Int8Policy()) == CacheBytes(memory: 2 * (864 * 6 * 66 + 136 * 768)))
        // 864 tokens are 27 groups. K: 27 · 192 groups of 32 codes and 4 bytes; V: 864 · 6 groups of the same.
        let groups = 27 * 192 + 864 * 6
        #expect(try bytes(KIVIPolicy(bits: 4)) == CacheBytes(memory: 2 * (groups * (16 + 4) + 136 * 768)))
        #expect(try bytes(KIVIPolicy(bits: 2)) == CacheBytes(memory: 2 * (groups * (8 + 4) + 136 * 768)))
        #expect(try bytes(StreamingPolicy(budget: 300)) == CacheBytes(memory: 300 * 2 * 768))
        #expect(try bytes(StreamingPolicy(budget: 3000)) == CacheBytes(memory: exact))
        #expect(try bytes(SnapKVPolicy(budget: 300)) == CacheBytes(memory: 300 * 2 * 768))
        #expect(try bytes(OmniKVPolicy(budget: 300)) == CacheBytes(memory: exact))
        // Pages of 3 heads: 128 codes and two scales in bf16.
        #expect(try bytes(SparsePolicy(percent: 12, local: [])) == CacheBytes(memory: 1000 * 2 * 3 * (128 + 4)))
        // The same beside what a codec keeps, which is what would lie on disk.
        let coded = SparsePolicy(percent: 12, local: [], codec: KIVIPolicy(bits: 2))
        let codes = try bytes(KIVIPolicy(bits: 2)).memory
        #expect(try bytes(coded) == CacheBytes(memory: 1000 * 2 * 3 * (128 + 4) + codes, disk: codes))
        // No layer after the two dense ones, so no page bounds.
        #expect(try bytes(QuestPolicy(budget: 64)) == CacheBytes(memory: exact))
        let deeper = try randomHistory(CacheShape(layers: 3, heads: 6, kvHeads: 3, headDimension: 64), tokens: 1000)
        let all = 1000 * 3 * 384 * 2
        // One layer of 54 pages, two bounds for each of 192 channels in f16.
        #expect(QuestPolicy(budget: 64).compress(deeper).bytes == CacheBytes(memory: all + 54 * 2 * 192 * 2, disk: all))
    }

    /// Tokens that fill no group of 32 stay exact.
    @Test func leftoverTokensStayExact() throws {
        let history = try randomHistory(.small, tokens: 8 + 64 + 5 + 128)
        let compressed = KIVIPolicy(bits: 2).compress(history), exact = history.rows(layer: 1)
        let rows = restored(compressed, of: history, layer: 1)
        for row in 0..<history.count {
            let changed = zip(rows[row], exact[row: row]).contains { abs($0 - $1) > 0.01 * abs($1) }
            #expect(changed == (8..<72).contains(row), "row \(row)")
        }
        let short = try randomHistory(.small, tokens: 20)
        #expect(KIVIPolicy(bits: 2).compress(short).bytes.memory == short.exactBytes)
    }

    /// No value moves by more than half a step, and what f16 does to minimum and step.
    @Test(arguments: [2, 4]) func groupsAreWithinHalfAStep(bits: Int) throws {
        let history = try randomHistory(.small, tokens: 8 + 96 + 128), exact = history.rows(layer: 0)
        let rows = restored(KIVIPolicy(bits: bits).compress(history), of: history, layer: 0)
        let width = CacheShape.small.keyWidth
        func bound(_ group: [Float]) -> Float {
            let low = group.min() ?? 0, high = group.max() ?? 0
            return (high - low) / Float((1 << bits) - 1) / 2 * 1.01 + (abs(low) + high - low) / 1024
        }
        for first in stride(from: 8, to: 104, by: 32) {
            for channel in 0..<width {
                let limit = bound((first..<first + 32).map { exact[row: $0][channel] })
                #expect((first..<first + 32).allSatisfy { abs(rows[$0][channel] - exact[row: $0][channel]) <= limit })
            }
        }
        for row in 8..<104 {
            for first in stride(from: width, to: 2 * width, by: 32) {
                let limit = bound(Array(exact[row: row][first..<first + 32]))
                #expect((first..<first + 32).allSatisfy { abs(rows[row][$0] - exact[row: row][$0]) <= limit })
            }
        }
    }

    /// A group has no more values than codes.
    @Test func fewValuesAreLeft() throws {
        let history = try randomHistory(.small, tokens: 8 + 32 + 128)
        let rows = restored(KIVIPolicy(bits: 2).compress(history), of: history, layer: 0)
        #expect((0..<192).allSatisfy { channel in Set((8..<40).map { rows[$0][channel] }).count <= 4 })
    }

    /// Sparse attention over a codec's rows sees those rows.
    @Test func aCodecComesBeforeThePages() throws {
        let history = try randomHistory(.small, tokens: 8 + 32 + 128), codec = KIVIPolicy(bits: 2)
        let sparse = try SparsePolicy(percent: 12, local: [], codec: codec).compress(history)
        #expect(sparse.sparse == SparseAttention(share: 0.12))
        let rows = restored(sparse, of: history, layer: 1)
        let isTheCodecs = rows == restored(codec.compress(history), of: history, layer: 1)
        #expect(isTheCodecs)
        #expect(try SparsePolicy(percent: 12, local: []).compress(history).restore == nil)
    }

    @Test func int8IsWithinHalfAStep() throws {
        let history = try randomHistory(.small, tokens: 200), exact = history.rows(layer: 1)
        let rows = restored(Int8Policy().compress(history), of: history, layer: 1)
        for row in 8..<72 {
            for first in stride(from: 0, to: 384, by: 64) {
                let values = Array(exact[row: row][first..<first + 64])
                let largest = values.map { abs($0) }.max() ?? 0
                // Half a step, and the largest values by what f16 takes from the scale.
                let limit = largest / 127 / 2 + largest / 1024
                #expect(zip(values, rows[row][first..<first + 64]).allSatisfy { abs($0 - $1) <= limit })
            }
        }
    }

    @Test func hostileValuesStayFinite() {
        var values: [Float] = [1e30, -1e30, 0, 3]
        values.withUnsafeMutableBufferPointer { Rounding.toHalf($0) }
        #expect(values == [65504, -65504, 0, 3])
        var flat = [Float](repeating: 1e-9, count: 32)
        flat.withUnsafeMutableBufferPointer { Int8Policy.round($0) }
        #expect(flat.allSatisfy { $0 == 0 })
        flat.withUnsafeMutableBufferPointer { values in
            values.update(repeating: 2.5)
            AsymmetricGroup.round(values.baseAddress!, count: 32, stride: 1, bits: 2)
        }
        #expect(flat.allSatisfy { $0 == 2.5 })
    }

    @Test func namesAreRead() throws {
        #expect(try PolicyCatalogue.defaultNames.map { try PolicyChoice($0) }.count == 9)
        let choices: [String: PolicyChoice] = [
            "quest-16": .quest(16), "snapkv-11%": .snapKV(.percent(11)), "kivi-int3": .kivi(bits: 3),
            "deltakv": .deltaKV(.memory, file: nil), "deltakv-file": .deltaKV(.file, file: nil),
            "deltakv=a-b=c.deltakv": .deltaKV(.memory, file: "a-b=c.deltakv"),
            "paper": .paper(PaperVariant(), file: nil), "sparse-12%": .sparse(percent: 12),
            "deltakv-sparse-50%": .sparseDeltaKV(percent: 50, file: nil),
            "deltakv-sparse-8%=x.deltakv": .sparseDeltaKV(percent: 8, file: "x.deltakv"),
        ]
        for (name, choice) in choices { #expect(try PolicyChoice(name) == choice) }
        guard case .paper(let variant, let file) = try PolicyChoice("paper-all-g32-s20-k2=x/y.paper") else {
            throw EvaluationError.unknownPolicy("paper")
        }
        #expect(variant.compressesAll && variant.latents == .int4(group: 32) && variant.stride == 20)
        #expect(variant.neighbours == 2 && file == "x/y.paper")
        #expect(PolicyCatalogue.shown("paper-all=x/y.paper", "x/y.paper") == "paper-all=y")
        for bad in [
            "", "f32", "quest", "quest-", "quest-0", "quest--5", "kivi-int9", "kivi-int", "kivi-4", "snapkv-1-2",
            "snapkv-0%", "sparse-512", "sparse", "snapkv-101%", "f16-1", "f16=x", "deltakv-1", "deltakv=", "paper-",
            "deltakv-sparse", "deltakv-sparse-512", "deltakv-sparse-0%", "deltakv-file-50%", "deltakv-sparse-50%=",
            "paper-g3", "paper-s0",
            "paper-k65", "paper-all-x", "kivi-int4=x",
        ] {
            #expect(throws: EvaluationError.unknownPolicy(bad)) { try PolicyChoice(bad) }
        }
    }
}
