// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Jinja

@Suite struct SyntaxTests {
    @Test(arguments: [
        ("{{ 1", 1), ("a\nb{% if %}", 2), ("{% if x %}\n\n{% endfor %}", 3), ("{{ x y }}", 1), ("{% unknown %}", 1),
        ("{{ 'a }}", 1), ("{# open", 1), ("{% raw %}{% x %}", 1), ("{{ f(a=1, 2) }}", 1), ("{% set true = 1 %}", 1),
        ("{{ [1, 2 }}", 1), ("{{ ) }}", 1), ("{% break %}", 1), ("{% macro f(a=1, b) %}{% endmacro %}", 1), ("{{ }}", 1),
        ("{{ 99999999999999999999 }}", 1), ("{{ '\\ud800' }}", 1), ("{{ a ? b }}", 1),
    ])
    func brokenTemplatesSayWhere(source: String, line: Int) {
        #expect {
            try JinjaTemplate(source)
        } throws: {
            guard let error = $0 as? JinjaError else { return false }
            return error.kind == .syntax && error.line == line && !error.message.isEmpty
        }
    }

    @Test(arguments: ["{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{% block b %}{% endblock %}"])
    func whatNeedsOtherFilesIsUnsupported(source: String) {
        #expect {
            try JinjaTemplate(source)
        } throws: {
            ($0 as? JinjaError)?.kind == .unsupported
        }
    }

    @Test(arguments: [
        "{{ missing.member }}", "{{ missing + 1 }}", "{{ missing() }}", "{{ 1 + 'a' }}", "{{ 1 / 0 }}", "{{ 'a' < 1 }}",
        "{{ none|length }}", "{{ [1].append(2) }}", "{{ x|nofilter }}", "{{ x is notest }}", "{{ {[]: 1} }}", "{{ 5() }}",
        "{{ 9223372036854775807 + 1 }}", "{% set a, b = [1] %}", "{% set q.r = 1 %}", "{% for i in 5 %}{% endfor %}",
        "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", "{% macro f(a) %}{% endmacro %}{{ f(b=1) }}", "{{ '%d' % 'x' }}",
        "{{ x.split('') }}", "{{ [1, 'a']|sort }}",
    ])
    func operationsWithoutMeaningAreErrors(source: String) throws {
        let template = try JinjaTemplate(source)
        #expect {
            try template.render(["x": .text("x")])
        } throws: {
            ($0 as? JinjaError)?.kind == .evaluation
        }
    }

    @Test func datesAreThoseOfTheCalendar() {
        #expect(JinjaDate(secondsSince1970: 951_782_400).formatted("%Y-%m-%d %a %j") == "2000-02-29 Tue 060")
        #expect(JinjaDate(secondsSince1970: -1).formatted("%d %B %Y %H:%M:%S %p %-d %%") == "31 December 1969 23:59:59 PM 31 %")
        #expect(JinjaDate(secondsSince1970: 1_709_251_199).formatted("%F %I %-I %y %u") == "2024-02-29 11 11 24 4")
    }
}
