// SPDX-License-Identifier: Apache-2.0
import Database
import Foundation
import PostgreSQL
import Testing

@Suite struct LocationTests {
    @Test func aURLOrHostMeansAnExternalServer() throws {
        let byURL = try DatabaseLocation.resolve(environment: [
            "DATABASE_URL": "postgresql://db.example/x", "PGUSER": "ann",
        ])
        guard case .external(let settings) = byURL else { Issue.record("not external"); return }
        #expect(settings.keywords["host"] == "db.example" && settings.keywords["user"] == "ann")
        let byFlag = try DatabaseLocation.resolve(
            url: "postgresql://other/x", environment: ["DATABASE_URL": "postgresql://db.example/x"])
        #expect(byFlag.settings.keywords["host"] == "other")
        let byHost = try DatabaseLocation.resolve(environment: ["PGHOST": "db.example"])
        #expect(byHost.settings.keywords["host"] == "db.example")
        #expect(throws: PostgresError.self) {
            try DatabaseLocation.resolve(environment: ["DATABASE_URL": "post gres://"])
        }
    }

    @Test func nothingMeansAPrivateCluster() throws {
        let location = try DatabaseLocation.resolve(environment: ["DELTAKV_DATA": "/tmp/somewhere", "PGUSER": "ann"])
        guard case .privateCluster(let cluster) = location else { Issue.record("not private"); return }
        #expect(cluster.dataDirectory == "/tmp/somewhere")
        #expect(location.settings.keywords["host"] == "/tmp/somewhere/postgresql/socket")
        let given = try DatabaseLocation.resolve(
            dataDirectory: "/tmp/a/../given", environment: ["DELTAKV_DATA": "/tmp/x"])
        #expect(given.settings.keywords["host"] == "/tmp/given/postgresql/socket")
    }

    @Test func theStandardDirectoryFollowsTheUser() throws {
        #expect(try DataDirectory.standard(environment: ["DELTAKV_DATA": "/srv/d"]) == "/srv/d")
        if geteuid() == 0 {
            #expect(try DataDirectory.standard(environment: ["HOME": "/root"]) == "/var/lib/deltakv")
        } else {
            #expect(try DataDirectory.standard(environment: ["HOME": "/h"]) == "/h/.local/share/deltakv")
            #expect(try DataDirectory.standard(environment: ["HOME": "/h", "XDG_DATA_HOME": "/x"]) == "/x/deltakv")
        }
    }
}
