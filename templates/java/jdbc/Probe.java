// Copyright: (c) 2026, the crdb.onboard authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Prove the connection: compiled with the app's own classes, run in the folder of the app.
import java.io.FileReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.util.Properties;
import javax.net.ssl.SSLSocket;
import org.postgresql.core.PGStream;
import org.postgresql.core.QueryExecutorBase;
import org.postgresql.jdbc.PgConnection;

public final class Probe {
    public static void main(String[] words) throws Exception {
        try {
            prove();
        } catch (Exception e) {
            StringBuilder text = new StringBuilder("jdbc:");
            for (Throwable cause = e; cause != null; cause = cause.getCause()) {
                text.append(' ').append(cause.getMessage());
            }
            System.err.println(text);
            System.exit(1);
        }
    }

    private static void prove() throws Exception {
        try (Connection connection = CrdbDataSource.create().getConnection()) {
            ask(connection, connection.getMetaData().getDriverVersion());
        }
    }

    private static void ask(Connection connection, String version) throws Exception {
        try (PreparedStatement statement = connection.prepareStatement("SELECT current_user, current_database(), ?::INT + 1")) {
            statement.setInt(1, 41);
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                System.out.printf("{\"version\": \"%s\", \"user\": \"%s\", \"database\": \"%s\", \"answer\": %d, \"tls\": \"%s\"}%n",
                    version, row.getString(1), row.getString(2), row.getInt(3), protocol(connection));
            }
        }
    }

    /** The TLS version, which the driver keeps to itself: the handshake has verified the server's certificate by then. */
    private static String protocol(Connection connection) throws Exception {
        Object executor = connection.unwrap(PgConnection.class).getQueryExecutor();
        java.lang.reflect.Field field = QueryExecutorBase.class.getDeclaredField("pgStream");
        field.setAccessible(true);
        java.net.Socket socket = ((PGStream) field.get(executor)).getSocket();
        return socket instanceof SSLSocket ? ((SSLSocket) socket).getSession().getProtocol() : "";
    }
}
