// SPDX-License-Identifier: Apache-2.0
import CCompression
import Glibc
import Kernels
import Testing

@testable import Compression

/// A coder of its own, for one row at a time.
private struct RowCoder {
    let tables = CodeTables.geometric()
    let columns: Int
    var classes: [UInt8]
    var shifts: [Int8]
    var thresholds: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (10, 20, 40, 80, 160, 320, 640)

    init(columns: Int) {
        self.columns = columns
        classes = (0..<columns).map { UInt8($0 % 47 + 1) }
        shifts = (0..<2 * columns).map { Int8($0 % 7 - 3) }
    }

    func withMode<Result>(_ body: (UnsafePointer<dkv_mode>) -> Result) -> Result {
        classes.withUnsafeBufferPointer { classes in
            shifts.withUnsafeBufferPointer { shifts in
                var mode = dkv_mode(
                    classes: classes.baseAddress, shifts: shifts.baseAddress, step: 16, rounding: 6,
                    thresholds: thresholds)
                return body(&mode)
            }
        }
    }

    func encode(_ values: [Int16], pair: UInt32, bits: UInt32) -> [UInt8] {
        encode([values], pair: pair, bits: bits)[0]
    }

    /// Codes rows together.
    func encode(_ rows: [[Int16]], pair: UInt32, bits: UInt32) -> [[UInt8]] {
        let limit = dkv_row_limit(columns)
        var room = Array(repeating: UInt8(0xee), count: rows.count * limit)
        let values = Array(rows.joined())
        return room.withUnsafeMutableBufferPointer { room in
            values.withUnsafeBufferPointer { values in
                withMode { mode in
                    var plain = rows.indices.map {
                        dkv_plain_row(
                            values: values.baseAddress.unsafelyUnwrapped + $0 * columns, pair: pair, pair_bits: bits,
                            end: room.baseAddress.unsafelyUnwrapped + ($0 + 1) * limit, length: 0)
                    }
                    dkv_rows_encode(tables.base, mode, columns, &plain, plain.count)
                    return plain.map { Array(UnsafeBufferPointer(start: $0.end - $0.length, count: $0.length)) }
                }
            }
        }
    }

    func decode(_ bytes: [UInt8], bits: UInt32) -> (residual: [Int16], pair: UInt32)? { decode([bytes], bits: bits)[0] }

    /// Decodes rows together, some of which another coder coded.
    func decode(
        _ rows: [[UInt8]], bits: UInt32, with instructions: dkv_codec_isa = DKV_CODEC_SCALAR, others: RowCoder? = nil,
        areOthers: (Int) -> Bool = { _ in false }
    ) -> [(residual: [Int16], pair: UInt32)?] {
        let values = rows.count * columns, guards = 64, guardValue: Int16 = 0x5a5a
        let residuals = UnsafeMutablePointer<Int16>.allocate(capacity: values + guards)
        residuals.initialize(repeating: guardValue, count: values + guards)
        defer {
            #expect((values..<values + guards).allSatisfy { residuals[$0] == guardValue }, "written outside")
            residuals.deallocate()
        }
        // In memory of exactly this size, so that a checker of bounds would see a byte too many.
        let copies = rows.map { bytes in
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            _ = copy.initialize(from: bytes)
            return copy
        }
        defer { copies.forEach { $0.deallocate() } }
        return withMode { mode in
            (others ?? self).withMode { other in
                var coded = copies.enumerated().map { index, copy in
                    dkv_coded_row(
                        mode: areOthers(index) ? other : mode, bytes: copy.baseAddress, length: copy.count,
                        pair_bits: bits, residual: residuals + index * columns, pair: 0, sound: false)
                }
                dkv_rows_decode(instructions, tables.base, columns, &coded, coded.count)
                return coded.map { row in
                    row.sound ? (Array(UnsafeBufferPointer(start: row.residual, count: columns)), row.pair) : nil
                }
            }
        }
    }

    func level(_ value: Int16, _ column: Int) -> Int16 {
        guard value != 0 else { return 0 }
        let magnitude = abs(Int(value)),
            fine = min(32766, magnitude * 16 + Int(shifts[2 * column + (magnitude > 1 ? 1 : 0)]))
        return Int16(value < 0 ? -fine : fine)
    }
}

@Suite struct EntropyCodingTests {
    /// Whatever is beside it, a row decodes to the same, or to nothing, on all instruction sets. Most values of some rows are
    /// escapes, and some bytes were never a row.
    @Test(arguments: InstructionSet.supported, [16, 48, 192])
    func rowsDecodeTogetherAsTheyDoAlone(_ set: InstructionSet, columns: Int) {
        var random = Random(12)
        let coder = RowCoder(columns: columns)
        var others = coder
        others.classes = (0..<columns).map { $0 % 11 == 0 ? 0 : UInt8(47 - $0 % 40) }
        others.shifts.reverse()
        for _ in 0..<100 {
            let rows = (0..<1 + random.below(3 * Int(DKV_DECODED_AT_ONCE))).map { _ in
                let isOther = random.below(5) == 0, size = random.below(4) == 0 ? 3000 : 1 + random.below(40)
                let values = (0..<columns).map {
                    $0 % 11 == 0 && isOther ? 0 : Int16(random.below(2 * size + 1) - size)
                }
                var bytes = (isOther ? others : coder).encode(values, pair: UInt32(random.below(1 << 18)), bits: 18)
                switch random.below(6) {
                case 0: bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
                case 1: bytes.removeLast(1 + random.below(bytes.count))
                case 2:
                    bytes = (0..<random.below(dkv_row_limit(columns) + 9)).map { _ in UInt8(random.below(256)) }
                default: break
                }
                return (bytes: bytes, isOther: isOther)
            }
            let together = coder.decode(rows.map(\.bytes), bits: 18, with: set.codec, others: others) {
                rows[$0].isOther
            }
            for (row, found) in zip(rows, together) {
                let alone = (row.isOther ? others : coder).decode(row.bytes, bits: 18)
                #expect(found?.residual == alone?.residual && found?.pair == alone?.pair)
            }
        }
    }

    @Test func rowsAreCodedTogetherAsTheyAreAlone() {
        var random = Random(14)
        let coder = RowCoder(columns: 192)
        for size in [1, 4, 30, 33, 3000] {
            let rows = (0..<Int(DKV_ROWS_AT_ONCE)).map { _ in
                (0..<192).map { _ in Int16(random.below(2 * size + 1) - size) }
            }
            #expect(coder.encode(rows, pair: 5, bits: 18) == rows.map { coder.encode($0, pair: 5, bits: 18) })
        }
    }

    @Test func rowsComeBack() throws {
        var random = Random(11)
        for columns in [4, 32, 64, 384] {
            let coder = RowCoder(columns: columns)
            for size in [1, 3, 9, 31, 32, 40, 2000] {
                let values = (0..<columns).map { _ in Int16(random.below(2 * size + 1) - size) }
                let bits = UInt32(16 + random.below(17)), pair = UInt32(random.next() >> 32) >> (32 - bits)
                let bytes = coder.encode(values, pair: pair, bits: bits)
                let decoded = try #require(coder.decode(bytes, bits: bits))
                #expect(decoded.pair == pair)
                #expect(decoded.residual == values.indices.map { coder.level(values[$0], $0) })
            }
        }
    }

    /// Rows of nothing but escapes are the longest, alone and beside one that has none.
    @Test(arguments: InstructionSet.supported) func extremesFitTheLimit(_ set: InstructionSet) throws {
        let coder = RowCoder(columns: 64), small = Array(repeating: Int16(1), count: 64)
        for value: Int16 in [2048, -2048] {
            let large = Array(repeating: value, count: 64)
            let bytes = coder.encode(large, pair: .max, bits: 32)
            #expect(bytes.count <= dkv_row_limit(64))
            let short = coder.encode(small, pair: 7, bits: 32), alone = Int(DKV_DECODED_AT_ONCE) / 2 + 3
            let rows = (0..<Int(DKV_DECODED_AT_ONCE)).map { $0 == alone ? short : bytes }
            for (index, row) in coder.decode(rows, bits: 32, with: set.codec).enumerated() {
                let row = try #require(row), values = index == alone ? small : large
                #expect(row.pair == (index == alone ? 7 : .max))
                #expect(row.residual == values.indices.map { coder.level(values[$0], $0) })
            }
        }
    }

    /// From symbols to fine units, with any shifts and at the ends of what a value can be.
    @Test(arguments: [4, 16, 48, 384]) func everySymbolIsRefined(_ columns: Int) throws {
        var coder = RowCoder(columns: columns)
        let values = (-33...33).map(Int16.init) + [.max, -.max, .min]
        for shift: Int8 in [-128, -1, 0, 127] {
            coder.shifts = (0..<2 * columns).map { $0 % 2 == 0 ? shift : shift / 2 }
            for first in values.indices {
                let row = (0..<columns).map { values[(first + $0) % values.count] }
                let decoded = try #require(coder.decode(coder.encode(row, pair: 0, bits: 16), bits: 16))
                #expect(decoded.residual == row.indices.map { coder.level(row[$0], $0) })
            }
        }
    }

    @Test func columnsThatAreNotCodedAreZero() throws {
        var coder = RowCoder(columns: 32)
        coder.classes = Array(repeating: 0, count: 32)
        let bytes = coder.encode(Array(repeating: 0, count: 32), pair: 77, bits: 16)
        #expect(bytes.count == 3)
        let decoded = try #require(coder.decode(bytes, bits: 16))
        #expect(decoded.pair == 77 && decoded.residual.allSatisfy { $0 == 0 })
    }

    /// Bytes that nobody wrote are refused or give some row; nothing is read or written outside (run under a sanitizer to see).
    @Test func damageIsHarmless() {
        var random = Random(12), refused = 0
        let coder = RowCoder(columns: 96)
        let values = (0..<96).map { _ in Int16(random.below(9) - 4) }
        let good = coder.encode(values, pair: 1234, bits: 20)
        for trial in 0..<2000 {
            var bytes = good
            switch trial % 4 {
            case 0: bytes[random.below(bytes.count)] ^= UInt8(1 << random.below(8))
            case 1: bytes.removeLast(1 + random.below(bytes.count))
            case 2: bytes.append(contentsOf: [UInt8(random.below(256)), UInt8(random.below(256))])
            default: bytes = (0..<random.below(80)).map { _ in UInt8(random.below(256)) }
            }
            if coder.decode(bytes, bits: 20) == nil { refused += 1 }
        }
        #expect(refused > 1600)
    }

    @Test func costsAreNearTheEntropy() {
        // A geometric source under its own table: within 2 % and half a byte of the entropy.
        var coder = RowCoder(columns: 384)
        coder.classes = Array(repeating: CodeTables.classOf(magnitude: 0.5), count: 384)
        coder.thresholds = (0, 0, 0, 10_000, 10_000, 10_000, 10_000)  // the gain that moves no class
        let magnitude = CodeTables.magnitude(ofClass: Int(coder.classes[0]))
        let row = coder.tables.frequencies[Int(coder.classes[0]) * 64..<Int(coder.classes[0]) * 64 + 64]
        var random = Random(13), bits = 0.0, entropy = 0.0
        let rows = 400
        for _ in 0..<rows {
            let values = (0..<384).map { _ in sample(row, &random) }
            bits += Double(8 * coder.encode(values, pair: UInt32(random.below(65536)), bits: 16).count)
        }
        for frequency in row where frequency > 0 {
            entropy -= Double(frequency) / 2048 * log2(Double(frequency) / 2048)
        }
        #expect(magnitude > 0.4 && magnitude < 0.6)
        // The pair takes 16 bits and the gain 3.
        #expect(bits / Double(rows) < 384 * entropy * 1.02 + 16 + 3 + 8)
        #expect(bits / Double(rows) > 384 * entropy)
    }

    private func sample(_ row: ArraySlice<UInt16>, _ random: inout Random) -> Int16 {
        var left = random.below(2048)
        for (symbol, frequency) in row.enumerated() {
            left -= Int(frequency)
            if left < 0 { return Int16(symbol % 2 == 0 ? -symbol / 2 : (symbol + 1) / 2) }
        }
        return 0
    }

    @Test func pairsAreNumbered() {
        var seen = Set<UInt32>()
        for a in 0..<UInt32(60) {
            for b in 0...a {
                let number = dkv_pair_number(b, a)
                #expect(number == dkv_pair_number(a, b) && seen.insert(number).inserted)
                var x: UInt32 = 0, y: UInt32 = 0
                dkv_pair_split(number, &x, &y)
                #expect(x == a && y == b)
            }
        }
        #expect(seen.count == 1830 && seen.allSatisfy { $0 < 1830 })
        var x: UInt32 = 0, y: UInt32 = 0
        dkv_pair_split(.max, &x, &y)
        #expect(dkv_pair_number(x, y) == .max)
        #expect(dkv_pair_bits(1) == 16 && dkv_pair_bits(361) == 16 && dkv_pair_bits(362) == 17)
    }

    @Test func halvesRound() {
        for bits in 0..<UInt16(0x7c00) {
            let value = dkv_from_half(bits)
            #expect(dkv_to_half(value) == bits && dkv_to_half(-value) == bits | 0x8000)
            guard bits < 0x7bff else { continue }
            let next = dkv_from_half(bits + 1), middle = (value + next) / 2
            #expect(dkv_to_half(middle) == (bits % 2 == 0 ? bits : bits + 1))
            #expect(dkv_to_half(middle.nextUp) == bits + 1 && dkv_to_half(middle.nextDown) == bits)
        }
        #expect(dkv_to_half(1e9) == 0x7bff && dkv_to_half(-.infinity) == 0xfbff)
    }
}
