// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import PostgreSQL

@Suite struct TextFormTests {
    @Test func arraysSurviveQuoting() {
        let elements: [String?] = ["", "NULL", nil, "a,b", "{x}", "\"q\"", "back\\slash", " space ", "ü😀\n"]
        #expect(ArrayText.parse(ArrayText.format(elements)) == elements)
        #expect(ArrayText.parse("{}") == [])
        #expect(ArrayText.parse("[0:1]={7,NULL}") == ["7", nil])
    }

    @Test(arguments: ["", "{", "}", "{1", "{1,}", "{,1}", "{{1},{2}}", "{\"a}", "{\"a\\", "{1}x", "[0:1]{1}"])
    func brokenArraysAreRefused(text: String) {
        #expect(ArrayText.parse(text) == nil)
    }

    @Test func byteStringsInHex() {
        let bytes = [UInt8](0...255)
        let text = Array(Hexadecimal.byteaText(bytes).utf8)
        #expect(text.withUnsafeBytes { Hexadecimal.bytes(fromByteaText: $0) } == bytes)
        for broken in ["", "x", "\\x0", "\\xzz", "00"] {
            #expect(Array(broken.utf8).withUnsafeBytes { Hexadecimal.bytes(fromByteaText: $0) } == nil)
        }
    }

    @Test func timestampsInText() {
        #expect(TimestampText.format(microseconds: 0) == "1970-01-01 00:00:00.000000+00")
        #expect(TimestampText.format(microseconds: -1) == "1969-12-31 23:59:59.999999+00")
        #expect(TimestampText.parse("1970-01-01 05:30:00.5+05:30") == 500_000)
        #expect(TimestampText.parse("2000-02-29 00:00:00+00") == 951_782_400_000_000)
        #expect(TimestampText.parse("1900-01-01 00:00:00-01:02:03") == -2_208_988_800_000_000 + 3_723_000_000)
        for text in ["infinity", "", "2000-01-01", "2000-13-01 00:00:00+00", "2000-01-01 00:00:00", "a-b-c d+e"] {
            #expect(TimestampText.parse(text) == nil)
        }
        for micro: Int64 in [951_782_399_999_999, -62_135_596_800_000_001, 253_402_300_799_999_999] {
            #expect(TimestampText.parse(TimestampText.format(microseconds: micro)) == micro)
        }
    }

    @Test func copyRowsAreEscaped() throws {
        var encoder = CopyEncoder()
        try encoder.append(
            [.text("a\tb\\c\nd\re"), .null, .text("\\N"), .text("\\."), .int8(5)], columns: 5, number: 1)
        #expect(String(decoding: encoder.bytes, as: UTF8.self) == "a\\tb\\\\c\\nd\\re\t\\N\t\\\\N\t\\\\.\t5\n")
        #expect(throws: PostgresError.self) { try encoder.append([.null], columns: 2, number: 2) }
        #expect(throws: PostgresError.self) { try encoder.append([.text("a\0b")], columns: 1, number: 3) }
    }

    @Test func identifiersAreQuoted() throws {
        #expect(try PostgresText.identifier("a\"b") == "\"a\"\"b\"")
        #expect(throws: PostgresError.self) { try PostgresText.identifier("a\0") }
    }
}

@Suite struct TurnQueueTests {
    @Test func callsTakeTurns() {
        var queue = TurnQueue<String>()
        for (id, name) in ["a", "b", "c"].enumerated() { queue.append(name, id: UInt64(id), session: nil) }
        #expect(queue.remove(id: 1) == "b")
        #expect(queue.remove(id: 1) == nil)
        #expect(queue.next() == "a")
        #expect(queue.next() == "c")
        #expect(queue.next() == nil)
    }

    @Test func aSessionKeepsOthersOut() {
        var queue = TurnQueue<String>()
        queue.holder = 9
        queue.append("other", id: 1, session: nil)
        #expect(queue.next() == nil)
        queue.append("own", id: 2, session: 9)
        #expect(queue.next() == "own")
        #expect(queue.next() == nil)
        queue.holder = nil
        #expect(queue.next() == "other")
    }
}

@Suite struct BackoffTests {
    @Test func waitsGrowToALimit() {
        var generator = SystemRandomNumberGenerator()
        var backoff = Backoff()
        var ceiling = Duration.milliseconds(100)
        for _ in 0..<20 {
            let wait = backoff.next(using: &generator)
            #expect(wait >= ceiling / 2 && wait <= ceiling)
            ceiling = min(ceiling * 2, .seconds(10))
        }
    }
}
