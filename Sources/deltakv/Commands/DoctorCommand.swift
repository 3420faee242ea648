// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Service

/// `deltakv doctor`: what is in force and whether it works.
struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Show what is in force, check it, and say what to do.")

    @OptionGroup var settings: SettingsOptions

    @Flag(help: "One line of JSON for each finding.")
    var json = false

    @Flag(help: "Reckon memory and disk instead, for --sequences contexts of --context tokens.")
    var plan = false

    @Option(
        help: ArgumentHelp(
            "With --plan: tokens of a context, output included; the model's most if not said.", valueName: "n"))
    var context: Int?

    @Option(help: ArgumentHelp("With --plan: contexts at once.", valueName: "n"))
    var sequences = 32

    @Option(help: ArgumentHelp("With --plan: documents whose contexts are kept on disk.", valueName: "n"))
    var documents = 1000

    func validate() throws {
        guard (1...4096).contains(sequences), (0...1_000_000_000).contains(documents) else {
            throw ValidationError("--sequences must be 1 to 4096 and --documents 0 to 1000000000")
        }
    }

    func run() async throws {
        if plan { return try await reckon() }
        let findings = await Doctor(settings: try await settings.load()).examine()
        for finding in findings {
            if json { try printJSON(finding) } else { print(text(of: finding)) }
        }
        if findings.contains(where: { $0.status == .bad }) { throw ExitCode(1) }
    }

    private func reckon() async throws {
        let plan = try SizingPlan(
            settings: try await settings.load(), contextTokens: context, sequences: sequences, documents: documents)
        if json { try printJSON(plan) } else { print(plan.text) }
    }

    private func text(of finding: Doctor.Finding) -> String {
        let mark =
            switch finding.status {
            case .good: "ok  "
            case .warning: "look"
            case .bad: "BAD "
            }
        let advice = finding.advice.map { "\n        -> \($0)" } ?? ""
        return "\(mark)  \(finding.subject): \(finding.found)\(advice)"
    }
}
