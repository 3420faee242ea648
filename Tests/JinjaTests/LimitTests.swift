// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Jinja

@Suite struct LimitTests {
    private func render(_ source: String, _ limits: JinjaLimits = JinjaLimits()) throws -> String {
        try JinjaTemplate(source).render(["x": .text("x"), "items": .list([.integer(1), .integer(2)])], limits: limits)
            .map(\.text).joined()
    }

    @Test(arguments: [
        // Time.
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='ab') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{{ 'a' * 10 ** 12 }}", "{{ [1] * 10 ** 12 }}", "{{ range(10 ** 9) }}",
        "{% set ns = namespace(s='a' * 9999) %}{% for i in range(9) %}{% set ns.s = ns.s|replace('a', 'a' * 9999) %}{% endfor %}",
        // Depth.
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(l=[]) %}{% for i in range(999) %}{% set ns.l = [ns.l] %}{% endfor %}",
        "{% for i in items recursive %}{{ loop([i]) }}{% endfor %}",
        // Output.
        "{% for a in range(999) %}{{ 'x' * 99999 }}{% endfor %}",
    ])
    func whatWouldTakeTooMuchEndsInALimit(source: String) {
        #expect {
            try render(source)
        } throws: {
            ($0 as? JinjaError)?.kind == .limit
        }
    }

    @Test func deepTemplatesAreRefusedWhenTheyAreRead() {
        for source in [
            "{{ " + String(repeating: "(", count: 5000) + "1" + String(repeating: ")", count: 5000) + " }}",
            "{{ " + String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000) + " }}",
            "{{ " + String(repeating: "not ", count: 5000) + "1 }}",
            "{{ " + String(repeating: "- ", count: 5000) + "1 }}", "{{ x" + String(repeating: " + x", count: 5000) + " }}",
            "{{ x" + String(repeating: ".y", count: 5000) + " }}", "{{ x" + String(repeating: "|trim", count: 5000) + " }}",
            String(repeating: "{% if x %}", count: 5000), String(repeating: "{% for a in x %}", count: 5000),
        ] {
            #expect {
                try JinjaTemplate(source)
            } throws: {
                ($0 as? JinjaError)?.kind == .limit
            }
        }
    }

    @Test func whatIsWithinTheLimitsIsRendered() throws {
        let document = String(repeating: "word ", count: 400_000)
        let pieces = try JinjaTemplate("{{ '<s>' + d.strip() + '</s>' }}{{ d|length }}{{ d.split()|length }}").render([
            "d": .input(document)
        ])
        #expect(pieces.first == JinjaPiece(text: "<s>", isInput: false))
        #expect(pieces.last?.text == "</s>2000000400000")
        #expect(try render("{% for i in range(20000) %}{{ i % 10 }}{% endfor %}").count == 20_000)
    }

    @Test func namespacesThatHoldThemselvesAreFreed() throws {
        #expect(try render("{% set ns = namespace() %}{% set ns.me = ns %}{% macro f() %}{% endmacro %}{% set ns.f = f %}ok") == "ok")
    }
}
