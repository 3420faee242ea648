// SPDX-License-Identifier: Apache-2.0
import Foundation
import SeededRandom
import Synchronization
import Testing

@testable import Jinja

/// Damaged templates end in a text or a typed error: no crash, no hang, no more memory than the limits allow.
///
/// `ops/fuzz jinja` runs many more inputs (`DELTAKV_FUZZ_INPUTS`) from another seed (`DELTAKV_FUZZ_SEED`).
@Suite struct FuzzTests {
    private static func setting(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    @Test func damagedTemplatesEndInTextsOrErrors() throws {
        let golden = try GoldenFile()
        let sources = try golden.rendered.map { Array(try golden.source(of: $0.name).utf8) }
        let inputs = Self.setting("DELTAKV_FUZZ_INPUTS") ?? 4000
        let seed = Self.setting("DELTAKV_FUZZ_SEED") ?? 1
        let report = Mutex(FuzzReport()), done = DispatchSemaphore(value: 0)
        // A small stack of its own: what nests too deep for it would end the process.
        let thread = Thread {
            var mutator = TemplateMutator(sources: sources, seed: UInt64(seed))
            var local = FuzzReport()
            for input in 0..<inputs {
                local.run(mutator.next(), golden.conversations[input % golden.conversations.count])
            }
            let result = local
            report.withLock { $0 = result }
            done.signal()
        }
        thread.stackSize = 2 << 20
        thread.start()
        done.wait()
        let result = report.withLock { $0 }
        #expect(result.texts + result.syntaxErrors + result.otherErrors == inputs)
        // Mutants that all fail to parse would test the parser only.
        #expect(result.texts > inputs / 10 && result.syntaxErrors > inputs / 20 && result.otherErrors > inputs / 50)
        #expect(result.longest < .seconds(2), "the slowest input took \(result.longest): \(result.slowest)")
        #expect(result.largestText <= FuzzReport.limits.outputBytes)
        if inputs > 100_000 { print(result) }
    }
}

/// What a run of inputs came to.
struct FuzzReport: Sendable, CustomStringConvertible {
    static let limits = JinjaLimits(steps: 50_000, depth: 300, outputBytes: 1 << 20)

    var texts = 0
    var syntaxErrors = 0
    var otherErrors = 0
    var largestText = 0
    var longest = Duration.zero
    var slowest = ""

    mutating func run(_ source: String, _ variables: [String: JinjaInput]) {
        let clock = ContinuousClock(), start = clock.now
        do {
            let template = try JinjaTemplate(source)
            let pieces = try template.render(variables, limits: Self.limits)
            largestText = max(largestText, pieces.reduce(0) { $0 + $1.text.utf8.count })
            texts += 1
        } catch {
            if error.kind == .syntax { syntaxErrors += 1 } else { otherErrors += 1 }
        }
        let time = clock.now - start
        if time > longest { (longest, slowest) = (time, source) }
    }

    var description: String {
        "\(texts) texts, \(syntaxErrors) syntax errors, \(otherErrors) other errors; the slowest took \(longest)"
    }
}

/// Makes damaged templates of whole ones.
struct TemplateMutator {
    let sources: [[UInt8]]
    var random: SplitMix

    init(sources: [[UInt8]], seed: UInt64) {
        self.sources = sources
        random = SplitMix(state: seed)
    }

    private static let words = [
        "{%", "%}", "{{", "}}", "{#", "#}", "{%-", "-%}", "{% for m in messages %}", "{% endfor %}", "{% if",
        "{% endif %}",
        "{% else %}", "{% set x = ", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", "{{ x * 9999 }}", "[[[[[[[[",
        "((((((((",
        "not not not ", "| list", "| tojson", "| sort", "[::-1]", "[-1]", ".content", ".items()", "range(99999)",
        "loop.index",
        "namespace(x=1)", "{% set ns.x = ns %}", "'a' * 10**9", "~", "is defined", "**", "//", "%",
        "-9223372036854775808",
        "1e308", "\\u", "'", "\"", "{% raw %}", "{% endraw %}", "{% break %}", "{% call f() %}", "{% generation %}",
        "\u{e9}",
        "x ~ x", "{% set x = x + x %}", "{% set x = [x, x] %}", "| replace('', 'aaaaaaaaaaaaaaaa')", ".split('')",
        "if false else",
    ].map { Array($0.utf8) }

    mutating func next() -> String {
        var bytes = sources.randomElement(using: &random)!
        // Small pieces reach the evaluator more often than whole templates with many wounds.
        if Bool.random(using: &random) {
            let start = Int.random(in: 0...bytes.count, using: &random)
            bytes = Array(bytes[start..<min(bytes.count, start + Int.random(in: 0...600, using: &random))])
        }
        for _ in 0..<Int.random(in: 0...4, using: &random) { mutate(&bytes) }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let place = Int.random(in: 0...bytes.count, using: &random)
        let end = min(bytes.count, place + Int.random(in: 0...40, using: &random))
        switch Int.random(in: 0..<7, using: &random) {
        case 0: if place < bytes.count { bytes[place] = UInt8.random(in: 0...255, using: &random) }
        case 1: bytes.removeSubrange(place..<end)
        case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
        case 3:
            let times = Int.random(in: 1...200, using: &random)
            bytes.insert(contentsOf: Array(repeatElement(bytes[place..<end], count: times).joined()), at: place)
        case 4:
            let other = sources.randomElement(using: &random)!
            let start = Int.random(in: 0...other.count, using: &random)
            bytes.insert(contentsOf: other[start..<min(other.count, start + 120)], at: place)
        case 5:
            let times = Int.random(in: 1...3, using: &random)
            for _ in 0..<times { bytes.insert(contentsOf: Self.words.randomElement(using: &random)!, at: place) }
        default: if place < bytes.count { bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
        }
    }
}
