// SPDX-License-Identifier: Apache-2.0

import Foundation
import PostgreSQL

/// Something that an administrator does to a job or a batch.
struct DashboardAction: Decodable, Equatable {
    enum Verb: String, Decodable {
        case cancel, redrive, pause, resume
    }

    let verb: Verb
    let job: Int64?
    let batch: String?
    let tenant: String?

    /// What is wrong with it, if anything.
    var problem: String? {
        switch (verb, job, batch) {
        case (_, .some, .some), (_, nil, nil): "name either a job or a batch"
        case (.pause, .some, _), (.resume, .some, _): "only a whole batch can be paused and resumed"
        default: nil
        }
    }

    /// Does it, with the rights of the client's role.
    ///
    /// - Returns: How many jobs it changed.
    func perform(with client: PostgresClient) async throws -> Int {
        let result =
            switch verb {
            case .cancel, .redrive:
                try await client.query(
                    "SELECT deltakv.\(verb.rawValue)($1, $2, $3)", [batch, job, tenant])
            case .pause, .resume:
                try await client.query("SELECT deltakv.\(verb.rawValue)($1, $2)", [batch, tenant])
            }
        return try result.onlyRow().get(0)
    }
}
