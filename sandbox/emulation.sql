-- Copyright: (c) 2026, the crdb.onboard authors
-- GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
-- SPDX-License-Identifier: GPL-3.0-or-later

-- What CockroachDB has and PostgreSQL does not, in every database. The front (statements.py) turns CockroachDB's own
-- statements into calls of these functions. @VERSION@ and @RELEASE@ are filled in by shims.py.

DROP SCHEMA IF EXISTS crdb CASCADE;
CREATE SCHEMA IF NOT EXISTS crdb_internal;
GRANT USAGE ON SCHEMA crdb_internal TO PUBLIC;
GRANT CREATE ON SCHEMA public TO PUBLIC;
ALTER SCHEMA public OWNER TO admin;

CREATE OR REPLACE FUNCTION crdb_internal.version() RETURNS text LANGUAGE sql STABLE AS $$ SELECT '@VERSION@'::text $$;
CREATE OR REPLACE FUNCTION crdb_internal.release() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT @RELEASE@ $$;
CREATE OR REPLACE FUNCTION crdb_internal.increment_feature_counter(feature text) RETURNS boolean LANGUAGE sql
    AS $$ SELECT true $$;
CREATE OR REPLACE VIEW crdb_internal.node_build_info AS
    SELECT 1::bigint AS node_id, field, value
    FROM (VALUES ('Name', 'CockroachDB'), ('Version', split_part('@VERSION@', ' ', 3))) AS info (field, value);
GRANT SELECT ON crdb_internal.node_build_info TO PUBLIC;
-- PostgreSQL's integer is CockroachDB's int4.
CREATE OR REPLACE FUNCTION crdb_internal.unique_rowid() RETURNS integer LANGUAGE sql
    AS $$ SELECT (random() * 2147483646)::integer $$;
CREATE OR REPLACE FUNCTION crdb_internal.refuse(code text, message text) RETURNS boolean LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message; END $$;

CREATE OR REPLACE PROCEDURE crdb_internal.raise_again(code text, message text, detail text, hint text)
    LANGUAGE plpgsql AS $$
BEGIN
    -- A field that is set is sent, even if it is empty.
    IF detail <> '' AND hint <> '' THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = detail, HINT = hint;
    ELSIF detail <> '' THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, DETAIL = detail;
    ELSIF hint <> '' THEN
        RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message, HINT = hint;
    END IF;
    RAISE EXCEPTION USING ERRCODE = code, MESSAGE = message;
END $$;

CREATE OR REPLACE FUNCTION crdb_internal.is_hidden(name name) RETURNS boolean LANGUAGE sql IMMUTABLE
    AS $$ SELECT name = 'sandbox' OR name ~ '^pg_' $$;
CREATE OR REPLACE FUNCTION crdb_internal.is_admin(role oid) RETURNS boolean LANGUAGE sql STABLE
    AS $$ SELECT pg_catalog.pg_has_role(role, 'admin', 'MEMBER') $$;
CREATE OR REPLACE FUNCTION crdb_internal.id_of(name text) RETURNS oid LANGUAGE plpgsql STABLE AS $$
DECLARE id oid;
BEGIN
    SELECT oid INTO id FROM pg_catalog.pg_roles WHERE rolname = name AND NOT crdb_internal.is_hidden(rolname);
    IF id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '42704', MESSAGE = format('role/user "%s" does not exist', name);
    END IF;
    RETURN id;
END $$;

-- Roles, memberships and databases, without those that only the sandbox or PostgreSQL has.
DROP VIEW IF EXISTS crdb_internal.pg_roles, crdb_internal.pg_authid, crdb_internal.pg_auth_members,
    crdb_internal.pg_database, crdb_internal.pg_default_acl, crdb_internal.default_privileges;
CREATE VIEW crdb_internal.pg_roles AS
    SELECT rolname, crdb_internal.is_admin(oid) AS rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
        rolreplication, rolconnlimit, rolpassword, rolvaliduntil, rolbypassrls, NULL::text[] AS rolconfig, oid
    FROM pg_catalog.pg_roles WHERE NOT crdb_internal.is_hidden(rolname);
CREATE VIEW crdb_internal.pg_authid AS
    SELECT r.oid, r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
        r.rolbypassrls, r.rolconnlimit, CASE WHEN a.rolpassword IS NOT NULL THEN '********' END AS rolpassword,
        r.rolvaliduntil
    FROM crdb_internal.pg_roles r JOIN pg_catalog.pg_authid a ON a.oid = r.oid;
GRANT SELECT ON crdb_internal.pg_roles, crdb_internal.pg_authid TO PUBLIC;
CREATE VIEW crdb_internal.pg_auth_members AS
    SELECT m.* FROM pg_catalog.pg_auth_members m
    WHERE NOT crdb_internal.is_hidden(pg_catalog.pg_get_userbyid(m.roleid))
        AND NOT crdb_internal.is_hidden(pg_catalog.pg_get_userbyid(m.member));
CREATE VIEW crdb_internal.pg_database AS SELECT * FROM pg_catalog.pg_database WHERE NOT datistemplate;
GRANT SELECT ON crdb_internal.pg_auth_members, crdb_internal.pg_database TO PUBLIC;

-- System privileges, privileges on external connections and default privileges for all roles lie in settings of the
-- grantee, as JSON: PostgreSQL keeps those for the whole cluster, and removes them with the role.
CREATE OR REPLACE FUNCTION crdb_internal.kept(role oid, database oid, setting text) RETURNS jsonb LANGUAGE sql STABLE
    AS $$
    SELECT coalesce((
        SELECT substr(line, length(setting) + 2)::jsonb
        FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) line
        WHERE s.setrole = role AND s.setdatabase = database AND starts_with(line, setting || '=')
    ), '{}'::jsonb)
$$;
CREATE OR REPLACE FUNCTION crdb_internal.id_of_database() RETURNS oid LANGUAGE sql STABLE
    AS $$ SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database() $$;

-- Adds privileges to, or removes them from, the list under a key of a setting; ALL stands for every one when removed.
CREATE OR REPLACE PROCEDURE crdb_internal.keep(
    role text, in_database boolean, setting text, key text, privileges text[], given boolean
) LANGUAGE plpgsql AS $$
DECLARE
    id oid := crdb_internal.id_of(role);
    place oid := CASE WHEN in_database THEN crdb_internal.id_of_database() ELSE 0 END;
    everything jsonb := crdb_internal.kept(id, place, setting);
    list text[] := ARRAY(SELECT jsonb_array_elements_text(coalesce(everything -> key, '[]'::jsonb)));
BEGIN
    IF given THEN
        list := ARRAY(SELECT DISTINCT unnest(list || privileges) ORDER BY 1);
    ELSIF 'ALL' = ANY (privileges) THEN
        list := ARRAY[]::text[];
    ELSE
        list := ARRAY(SELECT name FROM unnest(list) name WHERE name <> ALL (privileges) ORDER BY 1);
    END IF;
    everything := CASE WHEN list = '{}' THEN everything - key ELSE everything || jsonb_build_object(key, list) END;
    EXECUTE format(
        'ALTER ROLE %I%s', role,
        CASE WHEN in_database THEN format(' IN DATABASE %I', pg_catalog.current_database()) ELSE '' END
    ) || CASE WHEN everything = '{}'::jsonb THEN format(' RESET %s', setting)
        ELSE format(' SET %s = %L', setting, everything::text) END;
END $$;

CREATE OR REPLACE PROCEDURE crdb_internal.require_admin(what text) LANGUAGE plpgsql AS $$
BEGIN
    IF NOT crdb_internal.is_admin((SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user)) THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('user %s does not have %s privilege', session_user, what);
    END IF;
END $$;

-- GRANT and REVOKE of system privileges (key "system") and on external connections (key: the connection's name).
CREATE OR REPLACE PROCEDURE crdb_internal.change_global(key text, privileges text[], roles text[], given boolean)
    LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE role text;
BEGIN
    CALL crdb_internal.require_admin('GRANT');
    FOREACH role IN ARRAY roles LOOP
        CALL crdb_internal.keep(role, false, 'crdb.global_privileges', key, privileges, given);
    END LOOP;
END $$;

-- Schedules: each belongs to the user who created it. They run nothing.
CREATE OR REPLACE PROCEDURE crdb_internal.create_schedule(name text) LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    CALL crdb_internal.keep(session_user::text, false, 'crdb.schedules', 'names', ARRAY[name], true);
END $$;
CREATE OR REPLACE FUNCTION crdb_internal.show_schedules() RETURNS TABLE (name text, owner text) LANGUAGE sql STABLE
    AS $$
    SELECT s.value, r.rolname::text FROM pg_catalog.pg_roles r,
        jsonb_array_elements_text(crdb_internal.kept(r.oid, 0, 'crdb.schedules') -> 'names') s
$$;

-- ALTER DEFAULT PRIVILEGES FOR ALL ROLES; the schema is empty for the whole database.
CREATE OR REPLACE PROCEDURE crdb_internal.change_for_all(
    schema text, object_type text, privileges text[], roles text[], given boolean
) LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE role text;
BEGIN
    CALL crdb_internal.require_admin('admin');
    FOREACH role IN ARRAY roles LOOP
        CALL crdb_internal.keep(role, true, 'crdb.for_all_roles', schema || '/' || object_type, privileges, given);
    END LOOP;
END $$;

CREATE VIEW crdb_internal.default_privileges AS
    WITH explicit AS (
        SELECT coalesce(n.nspname, '') AS schema_name, pg_catalog.pg_get_userbyid(d.defaclrole)::text AS role,
            CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'T' THEN 'types'
                WHEN 'n' THEN 'schemas' ELSE 'routines' END AS object_type,
            CASE a.grantee WHEN 0 THEN 'public' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END AS grantee,
            a.privilege_type, a.is_grantable
        FROM pg_catalog.pg_default_acl d CROSS JOIN LATERAL aclexplode(d.defaclacl) a
            LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace
        -- PostgreSQL repeats what PUBLIC has on every function and type where one of their other defaults was changed.
        WHERE a.grantee <> d.defaclrole
            AND NOT (a.grantee = 0 AND d.defaclnamespace = 0 AND d.defaclobjtype IN ('f', 'T'))
    ), counted AS (
        SELECT *, count(*) OVER (PARTITION BY schema_name, role, object_type, grantee) AS number FROM explicit
    )
    SELECT DISTINCT schema_name, role, false AS for_all_roles, object_type, grantee,
        -- CockroachDB says ALL where everything was granted.
        CASE WHEN number >= CASE object_type WHEN 'tables' THEN 7 WHEN 'sequences' THEN 3 ELSE 2 END
            THEN 'ALL' ELSE privilege_type END AS privilege_type, is_grantable
    FROM counted
    UNION ALL
    SELECT split_part(key, '/', 1), NULL, true, split_part(key, '/', 2), r.rolname::text,
        jsonb_array_elements_text(value), false
    FROM pg_catalog.pg_roles r,
        jsonb_each(crdb_internal.kept(r.oid, crdb_internal.id_of_database(), 'crdb.for_all_roles'))
    UNION ALL
    -- What every role has on its own objects, which CockroachDB lists too.
    SELECT '', rolname::text, false, kind, rolname::text, 'ALL', true
    FROM crdb_internal.pg_roles, unnest(ARRAY['tables', 'sequences', 'types', 'schemas', 'routines']) kind;

-- Up to v24.1 the defaults of a schema are not in the catalogue; the grantor is always empty.
CREATE VIEW crdb_internal.pg_default_acl AS
    SELECT p.role_oid AS oid, p.role_oid AS defaclrole, coalesce(n.oid, 0) AS defaclnamespace,
        p.letter AS defaclobjtype, array_agg(p.grantee || '=' || p.letters || '/') AS defaclacl
    FROM (
        SELECT coalesce(r.oid, 0) AS role_oid, d.schema_name,
            CASE d.grantee WHEN 'public' THEN '' ELSE d.grantee END AS grantee,
            CASE d.object_type WHEN 'tables' THEN 'r' WHEN 'sequences' THEN 'S' WHEN 'types' THEN 'T'
                WHEN 'schemas' THEN 'n' ELSE 'f' END AS letter,
            string_agg(CASE d.privilege_type WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w'
                WHEN 'DELETE' THEN 'd' WHEN 'USAGE' THEN 'U' WHEN 'EXECUTE' THEN 'X' WHEN 'CREATE' THEN 'C'
                WHEN 'ALL' THEN CASE d.object_type WHEN 'tables' THEN 'radw' WHEN 'sequences' THEN 'rwU' ELSE 'CU' END
                ELSE '' END, '' ORDER BY d.privilege_type) AS letters
        FROM crdb_internal.default_privileges d LEFT JOIN pg_catalog.pg_roles r ON r.rolname = d.role
        WHERE d.role IS DISTINCT FROM d.grantee
        GROUP BY 1, 2, 3, 4
    ) p LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = p.schema_name
    WHERE p.schema_name = '' OR crdb_internal.release() >= 2402
    GROUP BY 1, 2, 3, 4;

GRANT SELECT ON crdb_internal.default_privileges, crdb_internal.pg_default_acl TO PUBLIC;

CREATE OR REPLACE FUNCTION crdb_internal.show_default_privileges(what text, roles text[], schema text)
    RETURNS TABLE (
        role text, for_all_roles boolean, object_type text, grantee text, privilege_type text, is_grantable boolean
    ) LANGUAGE plpgsql STABLE AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY roles LOOP PERFORM crdb_internal.id_of(name) WHERE name <> 'public'; END LOOP;
    RETURN QUERY SELECT d.role, d.for_all_roles, d.object_type, d.grantee, d.privilege_type, d.is_grantable
    FROM crdb_internal.default_privileges d
    WHERE d.schema_name = schema AND CASE what
        WHEN 'GRANTEE' THEN d.grantee = ANY (roles)
        WHEN 'ROLE' THEN d.role = ANY (roles)
        WHEN 'ALL ROLES' THEN d.for_all_roles
        ELSE d.role = session_user END
    ORDER BY 1, 2, 3, 4, 5;
END $$;

CREATE OR REPLACE FUNCTION crdb_internal.global_privileges(names text[])
    RETURNS TABLE (grantee text, object_name text, privilege_type text) LANGUAGE plpgsql STABLE AS $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY names LOOP PERFORM crdb_internal.id_of(name) WHERE name <> 'public'; END LOOP;
    RETURN QUERY SELECT r.rolname::text, e.key, p.value
    FROM pg_catalog.pg_roles r, jsonb_each(crdb_internal.kept(r.oid, 0, 'crdb.global_privileges')) e,
        jsonb_array_elements_text(e.value) p
    WHERE names = '{}' OR r.rolname = ANY (names) ORDER BY 1, 2, 3;
END $$;
CREATE OR REPLACE FUNCTION crdb_internal.show_system_grants(names text[])
    RETURNS TABLE (grantee text, privilege_type text, is_grantable boolean) LANGUAGE sql STABLE AS $$
    SELECT grantee, privilege_type, false FROM crdb_internal.global_privileges(names) WHERE object_name = 'system'
$$;
-- The privileges on the objects of this database, with a row for each possible grantee.
CREATE OR REPLACE FUNCTION crdb_internal.granted()
    RETURNS TABLE (schema_name text, object_name text, object_type text, acl aclitem[], grantee text, grantee_id oid)
    LANGUAGE sql STABLE AS $$
    SELECT o.schema_name, o.object_name, o.object_type, o.acl, r.name, r.id FROM (
        SELECT NULL::text AS schema_name, NULL::text AS object_name, 'database' AS object_type,
            coalesce(datacl, acldefault('d', datdba)) AS acl
        FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
        UNION ALL
        SELECT nspname, NULL, 'schema', coalesce(nspacl, acldefault('n', nspowner)) FROM pg_catalog.pg_namespace
        UNION ALL
        SELECT n.nspname, relname, CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END,
            coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r'::"char" END, relowner))
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
        UNION ALL
        SELECT n.nspname, typname, 'type', coalesce(typacl, acldefault('T', typowner))
        FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        WHERE typtype IN ('d', 'e', 'r')
    ) o, (
        SELECT 'public' AS name, 0::oid AS id UNION ALL SELECT rolname, oid FROM crdb_internal.pg_roles
    ) r
$$;
CREATE OR REPLACE FUNCTION crdb_internal.show_grants(names text[]) RETURNS TABLE (
    database_name text, schema_name text, object_name text, object_type text, grantee text, privilege_type text,
    is_grantable boolean
) LANGUAGE sql STABLE AS $$
    SELECT NULL, NULL, object_name, 'external_connection', grantee, privilege_type, false
    FROM crdb_internal.global_privileges(names) WHERE object_name <> 'system'
    UNION ALL
    SELECT pg_catalog.current_database(), o.schema_name, o.object_name, o.object_type, o.grantee, a.privilege_type,
        a.is_grantable
    FROM crdb_internal.granted() o, LATERAL aclexplode(o.acl) a
    WHERE o.grantee = ANY (names) AND o.grantee_id = a.grantee
$$;

-- What keeps a role from being dropped, in CockroachDB's words: grants first, else what it owns and default privileges.
CREATE OR REPLACE FUNCTION crdb_internal.refuse_drop(name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    id oid := crdb_internal.id_of(name);
    database text := pg_catalog.current_database();
    grants text;
    owned text;
    hints text;
BEGIN
    SELECT string_agg(DISTINCT object, ', ') INTO grants FROM (
        SELECT CASE WHEN d.dbid = 0 THEN o.identity
            WHEN d.dbid = crdb_internal.id_of_database() THEN database || '.' || o.identity
            ELSE other.datname || '.' || d.objid END AS object
        FROM pg_catalog.pg_shdepend d
            LEFT JOIN pg_catalog.pg_database other ON other.oid = d.dbid
            LEFT JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) o
                ON d.dbid IN (0, crdb_internal.id_of_database())
        WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = id AND d.deptype = 'a'
            AND d.classid <> 'pg_catalog.pg_default_acl'::regclass
        UNION ALL SELECT object_name FROM crdb_internal.global_privileges(ARRAY[name])
    ) held;
    IF grants IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '2BP01',
            MESSAGE = format('cannot drop role/user %s: grants still exist on %s', name, grants);
    END IF;
    SELECT string_agg(line, '' ORDER BY line), string_agg(hint, E'\n' ORDER BY hint) INTO owned, hints FROM (
        SELECT E'\nowner of ' || CASE WHEN d.dbid = 0 THEN o.type || ' ' || o.identity
            WHEN d.dbid = crdb_internal.id_of_database() THEN o.type || ' ' || database || '.' || o.identity
            ELSE 'object ' || other.datname || '.' || d.objid END AS line, NULL AS hint
        FROM pg_catalog.pg_shdepend d
            LEFT JOIN pg_catalog.pg_database other ON other.oid = d.dbid
            LEFT JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) o
                ON d.dbid IN (0, crdb_internal.id_of_database())
        WHERE d.refclassid = 'pg_catalog.pg_authid'::regclass AND d.refobjid = id AND d.deptype = 'o'
            AND d.classid <> 'pg_catalog.pg_default_acl'::regclass
        UNION ALL
        SELECT DISTINCT
            format(
                E'\n%s default privileges on new %s %s in database %s%s',
                CASE p.role WHEN name THEN 'owner of' ELSE 'privileges for' END,
                CASE p.object_type WHEN 'tables' THEN 'relations' ELSE p.object_type END,
                CASE WHEN p.for_all_roles THEN 'for all roles' ELSE 'belonging to role ' || p.role END,
                database, CASE p.schema_name WHEN '' THEN '' ELSE ' in schema ' || p.schema_name END
            ),
            format(
                'USE %s; ALTER DEFAULT PRIVILEGES FOR %s%s REVOKE ALL ON %s FROM %s;',
                database, CASE WHEN p.for_all_roles THEN 'ALL ROLES' ELSE 'ROLE ' || p.role END,
                CASE p.schema_name WHEN '' THEN '' ELSE ' IN SCHEMA ' || upper(p.schema_name) END, upper(p.object_type),
                p.grantee
            )
        FROM crdb_internal.default_privileges p
        WHERE (p.role = name OR p.grantee = name) AND p.role IS DISTINCT FROM p.grantee
        UNION ALL
        SELECT format(E'\nprivileges for default privileges in database %s', other.datname), NULL
        FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database other ON other.oid = s.setdatabase
        WHERE s.setrole = id AND s.setdatabase <> crdb_internal.id_of_database()
            AND crdb_internal.kept(id, s.setdatabase, 'crdb.for_all_roles') <> '{}'::jsonb
    ) dependent;
    IF owned IS NOT NULL THEN
        CALL crdb_internal.raise_again(
            '2BP01', format('role %s cannot be dropped because some objects depend on it%s', name, owned), '', hints
        );
    END IF;
    IF EXISTS (SELECT FROM crdb_internal.show_schedules() s WHERE s.owner = refuse_drop.name) THEN
        RAISE EXCEPTION USING ERRCODE = '2BP01', MESSAGE = format(
            'cannot drop role/user %s; it owns %s scheduled jobs.', name,
            (SELECT count(*) FROM crdb_internal.show_schedules() s WHERE s.owner = refuse_drop.name)
        );
    END IF;
    RETURN true;
END $$;

-- Runs a statement about roles and privileges as the server would for an administrator, without PostgreSQL's superuser.
CREATE OR REPLACE PROCEDURE crdb_internal.run_as_admin(statement text, kind text, roles text[]) LANGUAGE plpgsql
    SECURITY DEFINER AS $$
DECLARE
    me oid := (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user);
    role text;
    owner oid := (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname = 'public');
    code text;
    message text;
    detail text;
    hint text;
BEGIN
    CALL crdb_internal.require_admin('admin');
    IF kind = 'admin' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_auth_members WHERE roleid = 'admin'::regrole AND member = me AND admin_option
    ) THEN
        RAISE EXCEPTION USING ERRCODE = '42501',
            MESSAGE = format('%s is not a role admin for role admin', session_user);
    END IF;
    IF kind = 'defaults' AND crdb_internal.release() < 2403 THEN
        FOREACH role IN ARRAY roles LOOP
            IF NOT pg_catalog.pg_has_role(me, crdb_internal.id_of(role), 'MEMBER') THEN
                RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format('must be a member of %s', role);
            END IF;
        END LOOP;
    END IF;
    IF kind = 'drop' THEN
        FOREACH role IN ARRAY roles LOOP PERFORM crdb_internal.refuse_drop(role); END LOOP;
    END IF;
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        -- Raised again without its context, which repeats the statement, and so a password's verifier.
        GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
            hint = PG_EXCEPTION_HINT;
        CALL crdb_internal.raise_again(code, message, detail, hint);
    END;
    IF kind = 'admin' THEN
        FOREACH role IN ARRAY roles LOOP
            EXECUTE format(
                'ALTER ROLE %I %s', role,
                CASE WHEN crdb_internal.is_admin(crdb_internal.id_of(role)) THEN 'CREATEDB' ELSE 'NOCREATEDB' END
            );
        END LOOP;
    END IF;
    -- Before v24.3 the schema public is not reassigned with the rest.
    IF kind = 'reassign' AND crdb_internal.release() < 2403 AND pg_catalog.pg_get_userbyid(owner) = ANY (roles) THEN
        EXECUTE format('ALTER SCHEMA public OWNER TO %I', pg_catalog.pg_get_userbyid(owner));
    END IF;
END $$;

CREATE OR REPLACE PROCEDURE crdb_internal.run(statement text, kind text, roles text[]) LANGUAGE plpgsql AS $$
DECLARE
    code text;
    message text;
    detail text;
    hint text;
BEGIN
    IF crdb_internal.is_admin((SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)) THEN
        CALL crdb_internal.run_as_admin(statement, kind, roles);
    ELSE
        EXECUTE statement;
    END IF;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    CALL crdb_internal.raise_again(code, message, detail, hint);
END $$;
