// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL
import Testing

/// `deltakv doctor`, as a process.
@Suite struct DoctorTests {
    private struct Finding: Decodable {
        let subject: String
        let status: String
        let found: String
        let advice: String?
    }

    private func findings(_ program: Program) async throws -> (Int32, [String: Finding]) {
        let outcome = try await program.start(["doctor", "--json"]).outcome()
        let findings = try outcome.output.split(separator: "\n").map {
            try JSONDecoder().decode(Finding.self, from: Data($0.utf8))
        }
        for finding in findings { #expect(finding.status == "good" || finding.advice != nil, "\(finding)") }
        return (outcome.status, Dictionary(uniqueKeysWithValues: findings.map { ($0.subject, $0) }))
    }

    @Test func aSoundInstallationIsCalledSound() async throws {
        try await withQueue { program, client in
            let (status, findings) = try await findings(program)
            #expect(status == 0)
            for subject in [
                "PostgreSQL", "connections", "clock", "schema", "rights", "queue", "heads", "compressor", "cache",
            ] {
                #expect(findings[subject]?.status == "good", "\(subject)")
            }
            #expect(findings["queue"]?.found == "0 jobs wait, 0 run")
            try await client.script(
                """
                SELECT deltakv.submit('summarize', document => 'x', batch => 'b');
                UPDATE deltakv.jobs SET submitted_at = now() - interval '2 minutes'
                """)
            #expect(try await self.findings(program).1["queue"]?.status == "warning")
        }
    }

    @Test func aLoginWithoutRightsIsToldWhatItNeeds() async throws {
        try await withQueue { program, client in
            let login = "doctor_\(UUID().uuidString.prefix(8).lowercased())"
            try await client.script("CREATE ROLE \(login) LOGIN")
            let other = Program(environment: program.environment.merging(["PGUSER": login]) { $1 })
            let stranger = try await findings(other)
            try await client.script("SELECT deltakv.admit('\(login)', 'worker')")
            let worker = try await findings(other)
            try await client.script("DROP OWNED BY \(login); DROP ROLE \(login)")
            #expect(stranger.0 == 1)
            #expect(worker.0 == 0 && worker.1["rights"]?.found == "\(login) is worker")
            #expect(worker.1["queue"]?.status == "good")
        }
    }

    @Test func aDatabaseThatIsAwayIsOneFault() async throws {
        let program = Program(environment: ["DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"])
        let (status, findings) = try await findings(program)
        #expect(status == 1 && findings["PostgreSQL"]?.status == "bad" && findings["schema"]?.status == "warning")
    }
}
