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

    func run() async throws {
        let findings = await Doctor(settings: try await settings.load()).examine()
        for finding in findings {
            if json { try printJSON(finding) } else { print(text(of: finding)) }
        }
        if findings.contains(where: { $0.status == .bad }) { throw ExitCode(1) }
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
